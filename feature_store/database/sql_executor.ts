/** A statement of a transaction. */
export interface SqlStatement {
  readonly text: string;
  readonly parameters?: readonly unknown[];
  /** Rolls the whole transaction back when the statement returns no row. */
  readonly mustReturn?: boolean;
}

/** One PostgreSQL, however it is reached: a server through pg, or PGlite on its own thread. */
export interface SqlExecutor {
  open(): Promise<void>;
  /** @param parameters - as `$1`, `$2`, … */
  query<Row>(text: string, parameters?: readonly unknown[]): Promise<readonly Row[]>;
  /** Several statements without parameters, in one transaction. */
  script(text: string): Promise<void>;
  /**
   * Runs statements in one transaction.
   *
   * @returns the rows of each; undefined when one that must return rows returned none, and nothing was done
   */
  transaction(statements: readonly SqlStatement[]): Promise<readonly (readonly unknown[])[] | undefined>;
  /**
   * Calls `onNotification` when a session sends a notification (`SELECT pg_notify(channel, '')`). Absent where one process has the database.
   *
   * @returns a function that ends it
   */
  listen?(channel: string, onNotification: () => void): Promise<() => Promise<void>>;
  /**
   * Runs work that one process does at a time: others that call it with this name wait until it has ended. Absent where one process has the database.
   *
   * @param name - of the lock, within the schema
   */
  exclusively?(name: string, work: () => Promise<void>): Promise<void>;
  /**
   * Runs `COPY … FROM STDIN` with rows in the text format: all of them are written, or none. Absent where the database takes no stream.
   */
  copy?(statement: string, rows: string): Promise<void>;
  /** Removes what deleted rows have left in the database's files. Absent where those are a server's. */
  compact?(): Promise<void>;
  /** Copies the database's files, as they are at one moment, into a folder that does not exist yet. Absent where those are a server's. */
  copyFiles?(folder: string): Promise<void>;
  close(): Promise<void>;
}
