import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { cacheFolder, once, run } from '#scripts/services/install';

/** What the package is built, checked and tested with. */
const TOOLS = [
  ...['build==1.6.1', 'hatchling==1.33.0', 'twine==7.0.0', 'ruff==0.17.6', 'mypy==2.4.1', 'pytest==9.2.0'],
  ...['pandas-stubs==3.1.0.261029', 'urllib3==2.8.0', 'pandas==3.1.1', 'polars==2.1.0'],
];
const FOLDER = join(cacheFolder, 'python-package-1');

/** Of the Python package. */
export const PACKAGE_FOLDER = assetPath('python');

/** Runs a module of Python with the package's tools, in its folder, and returns what it prints. @throws with its output when it fails */
export async function pythonTool(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  await once(FOLDER, 'installing tools of the Python package', async () => {
    await run('python3', ['-m', 'venv', FOLDER]);
    await run(join(FOLDER, 'bin', 'pip'), ['install', '-q', ...TOOLS]);
  });
  return run(join(FOLDER, 'bin', 'python'), ['-m', ...args], { cwd: PACKAGE_FOLDER, env });
}
