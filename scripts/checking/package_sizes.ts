import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { optionalPackages } from '#kernel/optional_package';
import { assetPath } from '#kernel/project_root';

// npm run sizes: what npm installs for a project without optional packages, and how much each of them adds. JSON lines.

const run = promisify(execFile);
const env = { ...process.env, NODE_OPTIONS: '', npm_config_prefer_offline: 'true' };

interface Installed {
  readonly megabytes: number;
  readonly packages: number;
}

async function installed(packages: readonly string[]): Promise<Installed> {
  const folder = await mkdtemp(join(tmpdir(), 'sizes-'));
  const options = { cwd: folder, env, maxBuffer: 2 ** 26 };
  try {
    await writeFile(join(folder, 'package.json'), '{"name":"sizes","private":true}');
    await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', ...packages], options);
    const { stdout: size } = await run('du', ['-sk', 'node_modules'], options);
    const { stdout: tree } = await run('npm', ['ls', '--all', '--parseable'], options).catch(
      (error: { stdout: string }) => error,
    );
    const megabytes = Math.round(Number.parseInt(size, 10) / 102.4) / 10;
    return { megabytes, packages: new Set(tree.trim().split('\n')).size - 1 };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const folder = await mkdtemp(join(tmpdir(), 'packed-'));
try {
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
    ...{ cwd: assetPath(''), env, maxBuffer: 2 ** 26 },
  });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  const tarball = join(folder, filename);
  const core = await installed([tarball]);
  process.stdout.write(`${JSON.stringify({ package: 'core', ...core })}\n`);
  for (const [name, range] of Object.entries(optionalPackages())) {
    const { megabytes, packages } = await installed([tarball, `${name}@${range}`]);
    const added = {
      addedMegabytes: Math.round(10 * (megabytes - core.megabytes)) / 10,
      addedPackages: packages - core.packages,
    };
    process.stdout.write(`${JSON.stringify({ package: name, megabytes, packages, ...added })}\n`);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
