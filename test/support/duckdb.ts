import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';

export type SqlRow = Readonly<Record<string, string | number | boolean | null>>;

/** DuckDB in memory, as an oracle: what tests compute with our code is computed again in SQL. */
export class Duck {
  readonly #instance: DuckDBInstance;
  readonly #connection: DuckDBConnection;

  private constructor(instance: DuckDBInstance, connection: DuckDBConnection) {
    this.#instance = instance;
    this.#connection = connection;
  }

  static async open(): Promise<Duck> {
    // Extensions are part of the package; none may come from elsewhere.
    const instance = await DuckDBInstance.create(':memory:', {
      ...{ threads: '1', autoinstall_known_extensions: 'false' },
    });
    const connection = await instance.connect();
    // A time without a zone is UTC, whatever the zone of the machine.
    await connection.run(`SET TimeZone = 'UTC'`);
    return new Duck(instance, connection);
  }

  /** Replaces a table. @param columns - names with DuckDB types */
  async load(table: string, columns: Readonly<Record<string, string>>, rows: readonly object[]): Promise<void> {
    const struct = JSON.stringify([columns]);
    await this.#connection.run(
      `CREATE OR REPLACE TABLE ${table} AS SELECT unnest(from_json($1, $2), recursive := true)`,
      [JSON.stringify(rows), struct],
    );
  }

  /** Returns rows as JSON has them; cast 64-bit integers to DOUBLE to get numbers. */
  async query(sql: string): Promise<readonly SqlRow[]> {
    const reader = await this.#connection.runAndReadAll(sql);
    return reader.getRowObjectsJson() as readonly SqlRow[];
  }

  close(): void {
    this.#connection.closeSync();
    this.#instance.closeSync();
  }
}
