import { FilePieces } from '#connectors/files/file_pieces';
import { pathIn, readWhole } from '#connectors/files/file_system';
import { createFileSystems } from '#connectors/files/file_systems';
import { messageOf } from '#kernel/errors';
import { systemClock } from '#kernel/time';
import { openRegistry } from '../parts/open_registry.ts';
import { loadProject, type Project } from '../project/project.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print, printList } from '../terminal/print.ts';
import { PREFIXES } from './layout.ts';
import { type ObjectStore, objectStoreOf } from './object_store.ts';
import { type CatalogTable, changesBetween, crawl, type SchemaCatalog } from './schema_catalog.ts';

export interface CrawlOptions {
  readonly strict: boolean;
  readonly json: boolean;
}

/** @throws {@link CommandFailedError} where no object store is set */
function storeOf(project: Project): ObjectStore {
  const store = objectStoreOf(project);
  if (store !== undefined) return store;
  throw new CommandFailedError(
    'no object store is set: name a folder or s3://bucket/prefix in objectStore.directory (OBJECT_STORE_DIRECTORY)',
  );
}

const catalogPath = (root: string): string => pathIn(root, `${PREFIXES.metadata}/schema_catalog.json`);

async function readCatalog(root: string): Promise<SchemaCatalog | undefined> {
  const path = catalogPath(root);
  const files = createFileSystems()(path);
  if ((await files.glob(path)).length === 0) return undefined;
  return JSON.parse((await readWhole(files, path)).toString('utf8')) as SchemaCatalog;
}

/** `headwater catalog crawl`: infers tables, columns and partitions of the object store's files, records them, and prints what has changed. @throws {@link CommandFailedError} with the drift, where `strict` */
export async function crawlCatalog(prefixes: readonly string[], { strict, json }: CrawlOptions): Promise<void> {
  const store = storeOf(await loadProject());
  const { root } = store;
  const files = createFileSystems()(root);
  const before = await readCatalog(root);
  const { metadata: _metadata, logs: _logs, ...data } = PREFIXES;
  const asked = (prefixes.length === 0 ? [...Object.values(data), 'predictions'] : prefixes).map((prefix) =>
    prefix.replace(/\/+$/, ''),
  );
  const pieces = new FilePieces();
  const paths: string[] = [];
  for (const prefix of asked) paths.push(...(await files.glob(pathIn(root, `${prefix}/**/*`))));
  // Tables of prefixes that are not crawled stay as they are.
  const isAsked = ({ name }: CatalogTable): boolean => asked.some((prefix) => `${name}/`.startsWith(`${prefix}/`));
  const crawled = await crawl({ files, pieces, nowMs: systemClock.now() }, root, paths.sort(), before).finally(() =>
    pieces.close(),
  );
  const found = new Set(crawled.tables.map(({ name }) => name));
  const kept = before?.tables.filter((table) => !isAsked(table) && !found.has(table.name)) ?? [];
  const catalog = { ...crawled, tables: [...kept, ...crawled.tables].sort((a, b) => (a.name < b.name ? -1 : 1)) };
  const changes = changesBetween(before, catalog);
  await files.write(catalogPath(root), Buffer.from(JSON.stringify(catalog)));
  const lines = changes.map(({ table, change, isDrift }) => `${isDrift ? 'drift' : 'change'} ${table}: ${change}`);
  await store.log('crawl', 'catalog', [`${catalog.tables.length} tables, ${paths.length} files`, ...lines]);
  printList(changes, {
    ...{ json, empty: `${catalog.tables.length} tables, nothing has changed` },
    line: ({ table, change, isDrift }) => `${isDrift ? 'drift' : 'change'}  ${table}: ${change}`,
  });
  const drift = changes.filter(({ isDrift }) => isDrift);
  if (strict && drift.length > 0) {
    throw new CommandFailedError(`schema drift: ${drift.map(({ table, change }) => `${table}: ${change}`).join('; ')}`);
  }
}

/** `headwater catalog list`: tables of the last crawl. */
export async function listCatalog({ json }: { readonly json: boolean }): Promise<void> {
  const { root } = storeOf(await loadProject());
  const catalog = await readCatalog(root);
  printList(catalog?.tables.map(({ files, ...table }) => ({ ...table, files: Object.keys(files).length })) ?? [], {
    ...{ json, empty: 'there is no catalogue yet: headwater catalog crawl' },
    line: ({ name, formats, files, columns, partitions }) => {
      const by = Object.entries(partitions).map(([key, values]) => `${key} (${values.length})`);
      const names = columns.map((column) => `${column.name} ${column.type}${column.optional ? '?' : ''}`);
      return `${name}  ${files} files of ${formats.join(', ')}${by.length === 0 ? '' : `, by ${by.join(', ')}`}: ${names.join(', ')}`;
    },
  });
}

/** `headwater object-store sync`: brings models in production and in the archive in line with the registry, and removes old logs. */
export async function syncObjectStore(model: string | undefined): Promise<void> {
  const project = await loadProject();
  const store = storeOf(project);
  const registry = openRegistry(project);
  const failed: string[] = [];
  try {
    for (const name of model === undefined ? await registry.listModels() : [model]) {
      try {
        for (const { version, stage } of await store.syncVersions(registry, name))
          print(`${name} ${version} is ${stage}`);
      } catch (error) {
        failed.push(messageOf(error));
      }
    }
  } finally {
    await registry.close();
  }
  if (failed.length > 0) throw new CommandFailedError(failed.join('\n'));
  const removed = await store.pruneLogs();
  if (removed > 0) print(`${removed} logs removed`);
}
