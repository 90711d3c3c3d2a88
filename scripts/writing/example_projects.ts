import { existsSync, readFileSync } from 'node:fs';
import { factsOf } from '#cli/init/init';
import { commonFiles } from '#cli/init/templates';
import { assetPath } from '#kernel/project_root';

/** Examples that are projects. */
export const EXAMPLES = [
  'activity',
  'anomalies',
  'claims',
  'compliance',
  'credit',
  'federated',
  'fraud',
  'market',
  'recommendation',
  'segmentation',
  'sensors',
] as const;
/** What makes a folder of definitions a project that npm, tsc and Docker take. */
const OF_A_PROJECT = ['package.json', '.npmrc', '.gitignore', '.dockerignore', 'tsconfig.json', 'Dockerfile'];

type Example = (typeof EXAMPLES)[number];

/** Returns the path of what runs an example from end to end, where it has that: `npm run case` in its folder. */
export const caseFile = (example: Example): string => `examples/${example}/test/${example}.case.ts`;

/** Packages that an example uses itself, of the versions that the platform is tested with. */
const PACKAGES: Readonly<
  Partial<Record<Example, { readonly run: readonly string[]; readonly test: readonly string[] }>>
> = {
  anomalies: { run: ['mqtt'], test: ['aedes'] },
};

interface PackageJson {
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
}

/** Returns package.json with the script `case`, and with the packages that the example uses itself. */
function withCase(text: string, example: Example): string {
  const parsed = JSON.parse(text) as PackageJson;
  const tested = JSON.parse(readFileSync(assetPath('package.json'), 'utf8')) as PackageJson;
  const { run = [], test = [] } = PACKAGES[example] ?? {};
  const versionsOf = (names: readonly string[]) =>
    Object.fromEntries(names.map((name) => [name, tested.devDependencies[name] as string]));
  parsed.scripts = { ...parsed.scripts, case: `headwater test test/${example}.case.ts` };
  parsed.dependencies = { ...parsed.dependencies, ...versionsOf(run) };
  parsed.devDependencies = { ...versionsOf(test), ...parsed.devDependencies };
  return `${JSON.stringify(parsed, null, 2)}\n`;
}

/** Returns those files of an example as `headwater init` writes them into its folder, by path from the root. */
export function exampleFiles(example: Example): Readonly<Record<string, string>> {
  const files = commonFiles(factsOf(assetPath(`examples/${example}`), { template: 'minimal' }));
  return Object.fromEntries(
    OF_A_PROJECT.map((path) => {
      const text = files[path] as string;
      const isCase = path === 'package.json' && existsSync(assetPath(caseFile(example)));
      return [`examples/${example}/${path}`, isCase ? withCase(text, example) : text];
    }),
  );
}
