/** One PostgreSQL, however it is reached: a server through pg, or PGlite on its own thread. */
export interface SqlExecutor {
  open(): Promise<void>;
  /** @param parameters - as `$1`, `$2`, … */
  query<Row>(text: string, parameters?: readonly unknown[]): Promise<readonly Row[]>;
  /** Several statements without parameters, in one transaction. */
  script(text: string): Promise<void>;
  /** Removes what deleted rows have left in the database's files. Absent where those are a server's. */
  compact?(): Promise<void>;
  close(): Promise<void>;
}
