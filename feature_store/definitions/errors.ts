import { fileURLToPath } from 'node:url';
import { PlatformError } from '#kernel/errors';
import { projectRoot } from '#kernel/project_root';

/** Definitions that cannot work; the message lists every problem, each with the view and the feature. */
export class DefinitionError extends PlatformError {
  readonly code = 'FEATURE_STORE_DEFINITION';

  /** @param file - where the definition is */
  constructor(problems: readonly string[], file?: string) {
    super(
      `the feature definitions${file === undefined ? '' : ` in ${file}`} have problems:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`,
      {
        fault: 'caller',
        retryable: false,
      },
    );
  }
}

/** Something identifies no entity: a join key is missing, null, empty or not exact, or a text is no id or key of the entity. */
export class EntityKeyError extends PlatformError {
  readonly code = 'FEATURE_STORE_ENTITY_KEY';

  constructor(entity: string, problem: string) {
    super(
      `this identifies no ${entity}: ${problem}. A join key is a string that is not empty, a boolean, an integer of 64 bits or a finite number`,
      { fault: 'caller', retryable: false },
    );
  }
}

/** The file that defines what is being defined now: the first one on the stack outside of this folder. */
export function definedIn(): string | undefined {
  for (const line of (new Error().stack ?? '').split('\n').slice(1)) {
    const [, path] = /((?:file:\/\/)?\/[^\s()]+?\.[cm]?[jt]s):\d+/.exec(line) ?? [];
    if (path === undefined) continue;
    const file = (path.startsWith('file:') ? fileURLToPath(path) : path)
      .replace(projectRoot, '')
      .replace(/^dist\//, '');
    if (!file.startsWith('feature_store/definitions/')) return file.replace(/\.js$/, '.ts');
  }
  return undefined;
}
