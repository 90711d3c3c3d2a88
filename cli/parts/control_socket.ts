import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { FailureClass } from '#connectors/failure_class';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import { archiveDirectoryOf } from './archive_folder.ts';

/** The longest path of a Unix socket. */
const LONGEST_PATH = 100;

/** Where a platform that keeps its data in folders answers commands of the same machine. Only the user it runs as may connect. */
export function controlSocketOf({ dataDirectory }: Pick<PlatformConfig, 'dataDirectory'>): string {
  const directory = resolve(dataDirectory);
  const path = join(directory, 'control.sock');
  if (path.length <= LONGEST_PATH) return path;
  const name = createHash('sha256').update(directory).digest('hex').slice(0, 16);
  return join(tmpdir(), `headwater-${process.getuid?.() ?? 0}-${name}`, 'control.sock');
}

/** What of the platform commands can reach. */
export const PARTS = ['offline', 'online', 'broker', 'archive', 'stream'] as const;
export type Part = (typeof PARTS)[number];

/** Folders that the parts keep their data in; undefined for a part that is a server of its own. */
export type PartFolders = Readonly<Record<Part, string | undefined>>;

export function foldersOf({
  broker,
  onlineStore,
  offlineStore,
  archive,
  objectStore,
  dataDirectory,
}: Pick<
  PlatformConfig,
  'archive' | 'broker' | 'dataDirectory' | 'objectStore' | 'onlineStore' | 'offlineStore'
>): PartFolders {
  const archived = archive.enabled ? archiveDirectoryOf({ archive, objectStore, dataDirectory }) : undefined;
  return {
    offline: offlineStore.kind === 'pglite' ? resolve(offlineStore.directory) : undefined,
    online: onlineStore.kind === 'memory' ? resolve(onlineStore.file) : undefined,
    broker: broker.kind === 'disk_log' ? resolve(broker.directory) : undefined,
    archive: archived === undefined || archived.startsWith('s3://') ? archived : resolve(archived),
    // The job's snapshots, where there is an archive to hand state over from.
    stream: archived === undefined ? undefined : resolve(dataDirectory, 'snapshots'),
  };
}

/** A method that a command calls on a part, as it travels: a structured clone over HTTP. */
export interface Call {
  readonly part: Part;
  readonly method: string;
  readonly args: readonly unknown[];
}

export type Answer =
  | { readonly result: unknown }
  | {
      readonly error: {
        readonly message: string;
        readonly code: string;
        readonly retryable: boolean;
        readonly failure: FailureClass;
      };
    };
