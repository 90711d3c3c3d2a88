import { PlatformError } from '#kernel/errors';

/** A file of the archive does not hold what was written. */
export class ArchiveDamagedError extends PlatformError {
  readonly code = 'ARCHIVE_DAMAGED_FILE';

  constructor(file: string, problem: string, cause?: unknown) {
    super(
      `the archive's file ${file} is damaged: ${problem}. Restore it from a backup; until then nothing that needs it is computed`,
      { fault: 'internal', retryable: false, cause },
    );
  }
}

/** A folder holds files of an archive and not the list that says which of them count. */
export class ArchiveListMissingError extends PlatformError {
  readonly code = 'ARCHIVE_LIST_MISSING';

  constructor(location: string, files: number) {
    super(
      `${location} holds ${files} files of an archive and no _archive.json, which lists them: restore it, or set archive.directory to an empty folder`,
      { fault: 'caller', retryable: false },
    );
  }
}

/** An archive has positions of one topic, and the configuration names another. */
export class ArchiveOfOtherTopicError extends PlatformError {
  readonly code = 'ARCHIVE_OF_OTHER_TOPIC';

  constructor(location: string, archived: string, configured: string) {
    super(
      `the archive in ${location} is of topic ${archived}, and topics.rawEvents is ${configured}: set archive.directory to a folder of its own for that topic`,
      { fault: 'caller', retryable: false },
    );
  }
}

/** What is requested needs events that the archive does not hold. */
export class ArchiveIncompleteError extends PlatformError {
  readonly code = 'ARCHIVE_INCOMPLETE';

  constructor(problem: string) {
    super(problem, { fault: 'caller', retryable: false });
  }
}

/** A server of buckets that writes without comparing: two processes could not be kept apart. */
export class UnsafeBucketError extends PlatformError {
  readonly code = 'ARCHIVE_UNSAFE_BUCKET';

  constructor(location: string) {
    super(
      `the server of ${location} ignores the header If-None-Match, so that two processes could write one archive: use a server that compares (S3, MinIO), or set archive.directory to a folder`,
      { fault: 'caller', retryable: false },
    );
  }
}
