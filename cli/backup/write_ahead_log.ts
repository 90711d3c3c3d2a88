import { readFile } from 'node:fs/promises';
import { replaceFile } from '#storage/durable_files';
import { loadSettings } from '../project/project.ts';
import { openBackupStore } from './backup_store.ts';
import { BackupFailedError, BackupMissingError } from './errors.ts';

// PostgreSQL's archive_command and restore_command. Each is a process of its own, and loads no definitions.

/** Segments, their history files and labels: what PostgreSQL archives. */
const NAME = /^[0-9A-F]{8}(?:[0-9A-F]{16}(?:\.[0-9A-F]{8}\.backup)?|\.history)$/;

/** `headwater backup wal-push %p %f`: stores a segment of the write-ahead log. A segment that is stored with other bytes is refused, as PostgreSQL asks of archives. */
export async function pushSegment(path: string, name: string): Promise<void> {
  checkName(name);
  const store = openBackupStore(loadSettings());
  const bytes = await readFile(path);
  const stored = `wal/${name}`;
  if ((await store.list('wal')).includes(name)) {
    if ((await store.get(stored)).equals(bytes)) return;
    throw new BackupFailedError(
      `${stored} is stored already, of another server: give each server a backup.directory of its own`,
    );
  }
  await store.put(stored, bytes);
}

/** `headwater backup wal-fetch %f %p`: writes a stored segment where PostgreSQL reads it; exit code 1 when there is none, which ends a recovery. */
export async function fetchSegment(name: string, path: string): Promise<void> {
  checkName(name);
  const store = openBackupStore(loadSettings());
  if (!(await store.list('wal')).includes(name)) throw new BackupMissingError(`wal/${name} is not stored`);
  await replaceFile(path, await store.get(`wal/${name}`));
}

function checkName(name: string): void {
  if (!NAME.test(name)) throw new BackupMissingError(`"${name}" is no file of PostgreSQL's write-ahead log`);
}
