import { existsSync } from 'node:fs';
import { factsOf } from '#cli/init/init';
import { commonFiles } from '#cli/init/templates';
import { assetPath } from '#kernel/project_root';

/** Examples that are projects. */
export const EXAMPLES = [
  'activity',
  'claims',
  'credit',
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

/** Returns package.json with the script `case`. */
function withCase(text: string, example: Example): string {
  const parsed = JSON.parse(text) as { scripts: Record<string, string> };
  parsed.scripts = { ...parsed.scripts, case: `headwater test test/${example}.case.ts` };
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
