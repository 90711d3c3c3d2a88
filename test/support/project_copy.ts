import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from '@swc/core';
import { assetPath, projectRoot } from '#kernel/project_root';

/** A build of the platform in a folder of its own, whose definitions a test edits. */
export class ProjectCopy {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    for (const name of ['configs', 'feature_store', 'registry', 'monitoring', 'node_modules', 'serving']) {
      symlinkSync(join(projectRoot, name), join(folder, name));
    }
    cpSync(assetPath('package.json'), join(folder, 'package.json'));
    cpSync(assetPath('dist'), join(folder, 'dist'), { recursive: true });
  }

  /** `headwater` of this build. */
  get program(): string {
    return join(this.folder, 'dist/cli/headwater.js');
  }

  /**
   * Builds a module anew from its source with changes, each a text and what replaces it; without any, as it is.
   *
   * @param module - such as `feature_store/views/fraud`
   */
  edit(module: string, changes: Readonly<Record<string, string>>): void {
    let source = readFileSync(assetPath(`${module}.ts`), 'utf8');
    for (const [before, after] of Object.entries(changes)) {
      if (!source.includes(before)) throw new Error(`${module}.ts has no ${before}`);
      source = source.replace(before, after);
    }
    this.build(module, source);
  }

  /** Builds a module from this source. */
  build(module: string, source: string): void {
    const { code } = transformSync(source, { jsc: { parser: { syntax: 'typescript' }, target: 'es2023' } });
    writeFileSync(
      join(this.folder, 'dist', `${module}.js`),
      code.replaceAll(/(from ["']\.{1,2}\/[\w/]+)\.ts/g, '$1.js'),
    );
  }
}
