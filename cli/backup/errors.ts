import { PlatformError } from '#kernel/errors';

/** What a backup consists of cannot be read: it was changed, cut off, or written with another secret, or an object before it is missing. */
export class BackupDamagedError extends PlatformError {
  readonly code = 'CLI_BACKUP_DAMAGED';

  constructor(path: string, cause?: unknown) {
    super(
      `${path} of the backups is damaged, follows an object that is missing, or was written with another backup.secret: check BACKUP_SECRET, else use an earlier backup (headwater backup list)`,
      { fault: 'dependency', retryable: false, cause },
    );
  }
}

/** There is no such backup, or no part of that name in it. */
export class BackupMissingError extends PlatformError {
  readonly code = 'CLI_BACKUP_MISSING';

  constructor(what: string) {
    super(what, { fault: 'caller', retryable: false });
  }
}

/** A backup would be incomplete, or its parts of different moments. */
export class BackupFailedError extends PlatformError {
  readonly code = 'CLI_BACKUP_FAILED';

  constructor(message: string, cause?: unknown) {
    super(message, { fault: 'dependency', retryable: true, cause });
  }
}

/** A restore would replace data, or cannot give what was requested. */
export class RestoreRefusedError extends PlatformError {
  readonly code = 'CLI_RESTORE_REFUSED';

  constructor(message: string) {
    super(message, { fault: 'caller', retryable: false });
  }
}
