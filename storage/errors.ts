import { PlatformError } from '#kernel/errors';

/** A file holds something other than what was written to it. */
export class DamagedFileError extends PlatformError {
  readonly code = 'STORAGE_DAMAGED_FILE';
  readonly file: string;
  readonly atByte: number;

  constructor(file: string, atByte: number, problem: string, remedy?: string) {
    const advice =
      remedy ??
      'run "headwater log verify" to list what is damaged, and "headwater log repair" to move the damaged part aside; or restore the folder from a backup';
    super(`${file} is damaged at byte ${atByte}: ${problem}. To continue, ${advice}`, {
      fault: 'dependency',
      retryable: false,
    });
    this.file = file;
    this.atByte = atByte;
  }
}

const because = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

/** The disk, a quota or the largest file size is used up. Writing succeeds again when there is room. */
export class DiskFullError extends PlatformError {
  readonly code = 'STORAGE_DISK_FULL';
  readonly httpStatus = 503;

  constructor(path: string, cause: unknown) {
    super(
      `${path} cannot be written: there is no room (${because(cause)}). Free space on its disk; no restart is needed`,
      {
        fault: 'dependency',
        retryable: true,
        cause,
      },
    );
  }
}

/** The disk or the folder does not allow what was tried. */
export class NoAccessError extends PlatformError {
  readonly code = 'STORAGE_NO_ACCESS';
  readonly httpStatus = 503;

  constructor(path: string, cause: unknown) {
    super(
      `${path} cannot be used: its disk is read-only, or this user may not (${because(cause)}). Mount the disk writable and give the folder to the user of this process`,
      { fault: 'dependency', retryable: true, cause },
    );
  }
}

export class TooManyFilesError extends PlatformError {
  readonly code = 'STORAGE_TOO_MANY_FILES';
  readonly httpStatus = 503;

  constructor(path: string, cause: unknown) {
    super(
      `${path} cannot be opened: the limit of open files is reached (${because(cause)}). Raise it (ulimit -n, LimitNOFILE)`,
      { fault: 'dependency', retryable: true, cause },
    );
  }
}

/** A path that does not exist, or is something other than it must be. */
export class PathError extends PlatformError {
  readonly code = 'STORAGE_PATH';
  /** A write that fails so says nothing about the record. */
  readonly failure = 'target' as const;

  constructor(path: string, cause: unknown) {
    super(
      `${path} cannot be used: it is missing, or another kind of file is in its place (${because(cause)}). Move that aside, or set another path`,
      { fault: 'caller', retryable: false, cause },
    );
  }
}

/** The disk reported an error of its own, or did not confirm that data reached it. */
export class DiskFailedError extends PlatformError {
  readonly code = 'STORAGE_DISK_FAILED';
  readonly httpStatus = 503;

  constructor(path: string, what: string, cause: unknown) {
    super(
      `${path}: ${what} (${because(cause)}). Nothing more is written to it by this process: check the disk, then restart`,
      { fault: 'dependency', retryable: false, cause },
    );
  }
}

/** Another process uses the folder. */
export class FolderLockedError extends PlatformError {
  readonly code = 'STORAGE_FOLDER_LOCKED';
  /** A write that fails so says nothing about the record. */
  readonly failure = 'target' as const;
  readonly httpStatus = 503;
  readonly holder: string;

  constructor(folder: string, holder: string) {
    super(
      `${folder} is in use by ${holder}: one process at a time may use it. Stop that process, or set another folder (DATA_DIRECTORY)`,
      { fault: 'caller', retryable: false },
    );
    this.holder = holder;
  }
}

/** This process was paused for so long that another one has taken the folder. */
export class LockLostError extends PlatformError {
  readonly code = 'STORAGE_LOCK_LOST';
  readonly httpStatus = 503;

  constructor(folder: string) {
    super(
      `this process no longer holds ${folder}: it did not renew its lock in time, and another process has taken the folder. Nothing more is written; restart this process`,
      { fault: 'dependency', retryable: false },
    );
  }
}

const FULL = ['ENOSPC', 'EDQUOT', 'EFBIG'];
const NO_ACCESS = ['EROFS', 'EACCES', 'EPERM'];
const TOO_MANY = ['EMFILE', 'ENFILE'];
const WRONG_PATH = ['ENOENT', 'ENOTDIR', 'EISDIR', 'EEXIST', 'ELOOP', 'ENAMETOOLONG', 'ENOTEMPTY'];

/** Returns the named error for what the file system has refused; a {@link PlatformError} stays as it is. */
export function diskError(path: string, error: unknown): PlatformError {
  if (error instanceof PlatformError) return error;
  const { code = '' } = error as NodeJS.ErrnoException;
  if (FULL.includes(code)) return new DiskFullError(path, error);
  if (NO_ACCESS.includes(code)) return new NoAccessError(path, error);
  if (TOO_MANY.includes(code)) return new TooManyFilesError(path, error);
  if (WRONG_PATH.includes(code)) return new PathError(path, error);
  return new DiskFailedError(path, 'the file system reports an error', error);
}

/** For `catch`: `instead` where there is no such file or folder; any other error is thrown. */
export const ifMissing =
  <T>(instead: T) =>
  (error: NodeJS.ErrnoException): T => {
    if (error.code === 'ENOENT') return instead;
    throw error;
  };

/** Does `work` on a path; what the file system refuses becomes a named error. */
export async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw diskError(path, error);
  }
}
