import { relative } from 'node:path';
import { projectRoot } from '#kernel/project_root';

const SLOWEST = 10;

/** Keeps how long each test file took. */
export class SecondsByFile {
  readonly #seconds: { readonly path: string; readonly seconds: number }[] = [];

  add(path: string, seconds: number): void {
    this.#seconds.push({ path: relative(projectRoot, path), seconds });
  }

  /** Returns the slowest files, the slowest first, as lines to print. */
  slowest(count = SLOWEST): string {
    const sorted = this.#seconds.toSorted((one, other) => other.seconds - one.seconds).slice(0, count);
    return [
      'slowest files:',
      ...sorted.map(({ path, seconds }) => `${seconds.toFixed(0).padStart(6)} s  ${path}`),
    ].join('\n');
  }
}
