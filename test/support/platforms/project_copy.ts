import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';

/** The project of this repository in a folder of its own, whose definitions a test edits. */
export class ProjectCopy {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    for (const name of ['headwater.config.ts', 'examples']) {
      cpSync(assetPath(name), join(folder, name), { recursive: true });
    }
  }

  /** What commands need to find it. */
  get env(): Readonly<Record<string, string>> {
    return { HEADWATER_PROJECT: this.folder };
  }

  /**
   * Writes a module anew with changes, each a text and what replaces it; without any, as it is in the repository.
   *
   * @param module - such as `examples/fraud/features/fraud.ts`
   */
  edit(module: string, changes: Readonly<Record<string, string>>): void {
    let source = readFileSync(assetPath(module), 'utf8');
    for (const [before, after] of Object.entries(changes)) {
      if (!source.includes(before)) throw new Error(`${module} has no ${before}`);
      source = source.replace(before, after);
    }
    writeFileSync(join(this.folder, module), source);
  }
}
