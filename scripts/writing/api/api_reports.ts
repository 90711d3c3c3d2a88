import { readFileSync } from 'node:fs';
import { assetPath } from '#kernel/project_root';
import { apiReport } from './api_report.ts';

interface PackageJson {
  readonly exports: Readonly<Record<string, { readonly types?: string } | string>>;
  readonly imports: Readonly<Record<string, { readonly default: string }>>;
}

export interface NamedReport {
  /** `features.api.txt` */
  readonly file: string;
  readonly text: string;
}

/**
 * Returns the reports of all entries of `exports` in package.json.
 *
 * @param folder - where `npm run build` has put the declarations, absolute
 */
export function apiReports(folder: string): readonly NamedReport[] {
  const { exports, imports } = JSON.parse(readFileSync(assetPath('package.json'), 'utf8')) as PackageJson;
  const aliases = Object.fromEntries(
    Object.entries(imports).map(([from, { default: to }]) => [
      from.replace(/\*$/, ''),
      to.replace(/^\.\/dist\//, '').replace(/\*\.js$/, ''),
    ]),
  );
  return Object.entries(exports).flatMap(([path, target]) => {
    if (typeof target === 'string' || target.types === undefined) return [];
    const entry = target.types.replace(/^\.\/dist\//, '');
    const name = path === '.' ? 'headwater' : `headwater${path.slice(1)}`;
    const head = `// Made by npm run api; do not edit. What ${name} promises: a change of this file is a change of the public surface.\n\n`;
    const file = `${path === '.' ? 'index' : path.slice(2).replaceAll('/', '_').replaceAll('-', '_')}.api.txt`;
    return [{ file, text: `${head}${apiReport(folder, entry, aliases)}\n` }];
  });
}
