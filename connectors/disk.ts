import { open, statfs, unlink } from 'node:fs/promises';
import { join } from 'node:path';

const PROBE_BYTES = 4_096;
/** Less free than this is full: a log's segment, a snapshot or a page of a database would not fit. */
const LEAST_FREE_BYTES = 16 * 1024 * 1024;

/** Writes a small file into `directory`, which exists, and removes it. @throws what the file system answers: ENOENT, ENOSPC, EROFS, EACCES, EMFILE, … */
export async function checkWritable(directory: string): Promise<void> {
  const path = join(directory, `.health-${process.pid}`);
  try {
    const file = await open(path, 'w', 0o600);
    try {
      await file.write(Buffer.alloc(PROBE_BYTES, 1));
      await file.datasync();
    } finally {
      await file.close();
    }
  } finally {
    await unlink(path).catch(() => {});
  }
  const { bavail, bsize } = await statfs(directory);
  const freeBytes = bavail * bsize;
  if (freeBytes < LEAST_FREE_BYTES) {
    const free = `${(freeBytes / 1024 / 1024).toFixed(1)} MiB`;
    const error = new Error(`${directory}: only ${free} are free; ${LEAST_FREE_BYTES / 1024 / 1024} MiB are needed`);
    throw Object.assign(error, { code: 'ENOSPC' });
  }
}
