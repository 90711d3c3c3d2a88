import { basename, dirname, join } from 'node:path';
import { archiveDirectoryOf } from '../parts/archive_folder.ts';
import type { PlatformConfig } from '../project/config/platform_config.ts';

/** A folder, or some files of one, that goes into backups. */
export interface FolderPart {
  readonly name: string;
  /** A path of this machine, or `s3://bucket/prefix`. */
  readonly folder: string;
  /** @param path - from the folder */
  includes(path: string): boolean;
}

const isLasting = (path: string): boolean => !/(?:^|\/)(?:work\/|\.?lock$|[^/]*\.(?:lock|tmp|sock)$)/.test(path);

/** `mlflow=/srv/a=b` is the folder `/srv/a=b`. */
const splitAtFirst = (text: string): readonly [name: string, folder: string] => {
  const at = text.indexOf('=');
  return [text.slice(0, at), text.slice(at + 1)];
};

/**
 * Returns the folders of a configuration in the order that they are copied in: what refers to records comes before the records (snapshots before the log), so that
 * each position is one that the log has. The offline database is copied by the process that has it, and Redis is filled from history.
 */
export function folderParts(config: PlatformConfig): readonly FolderPart[] {
  const { dataDirectory, registry, gateway, broker, archive, backup, onlineStore } = config;
  const part = (name: string, folder: string | undefined): FolderPart[] =>
    folder === undefined ? [] : [{ name, folder, includes: isLasting }];
  const { keysFile } = gateway;
  return [
    ...part('monitor', join(dataDirectory, 'monitor')),
    ...part('snapshots', join(dataDirectory, 'snapshots')),
    ...(onlineStore.kind === 'memory'
      ? [
          {
            ...{ name: 'online', folder: dirname(onlineStore.file) },
            includes: (path: string) => path.startsWith(basename(onlineStore.file)) && isLasting(path),
          },
        ]
      : []),
    ...part('registry', registry.kind === 'local' ? registry.directory : undefined),
    ...part('archive', archive.enabled ? archiveDirectoryOf(config) : undefined),
    ...part('dead letters', config.deadLetters.directory ?? join(dataDirectory, 'dead-letters')),
    ...(keysFile === undefined
      ? []
      : [{ name: 'keys', folder: dirname(keysFile), includes: (path: string) => path === basename(keysFile) }]),
    ...backup.folders.flatMap((folder) => part(...splitAtFirst(folder))),
    ...part('spool', gateway.spool?.directory),
    ...part('log', broker.kind === 'disk_log' ? broker.directory : undefined),
  ];
}

/** The name of the part that holds the offline database of one process. */
export const OFFLINE_PART = 'offline';

/** The folder of the offline database, where it is this machine's. */
export const offlineFolder = ({ offlineStore }: PlatformConfig): string | undefined =>
  offlineStore.kind === 'pglite' ? offlineStore.directory : undefined;
