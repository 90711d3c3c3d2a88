import { factsOf } from '#cli/init/init';
import { commonFiles } from '#cli/init/templates';
import { assetPath } from '#kernel/project_root';

/** Examples that are projects. */
export const EXAMPLES = ['activity', 'claims', 'credit', 'fraud', 'market', 'sensors'] as const;
/** What makes a folder of definitions a project that npm, tsc and Docker take. */
const OF_A_PROJECT = ['package.json', '.npmrc', '.gitignore', '.dockerignore', 'tsconfig.json', 'Dockerfile'];

/** Returns those files of an example as `headwater init` writes them into its folder, by path from the root. */
export function exampleFiles(example: (typeof EXAMPLES)[number]): Readonly<Record<string, string>> {
  const files = commonFiles(factsOf(assetPath(`examples/${example}`), { template: 'minimal' }));
  return Object.fromEntries(OF_A_PROJECT.map((path) => [`examples/${example}/${path}`, files[path] as string]));
}
