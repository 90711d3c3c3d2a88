import pg from 'pg';

/** What pg gives a query when the server is ready for its rows; its types leave it out. */
interface CopyConnection extends pg.Connection {
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

class CopyIn extends pg.Query {
  readonly #rows: string;

  constructor(statement: string, rows: string, done: (error: Error | undefined) => void) {
    super(statement, done);
    this.#rows = rows;
  }

  /** Called by pg's client. */
  handleCopyInResponse(connection: CopyConnection): void {
    connection.sendCopyFromChunk(Buffer.from(this.#rows));
    connection.endCopyFrom();
  }
}

/**
 * Runs `COPY … FROM STDIN` on one connection, as a transaction of its own outside of another.
 *
 * @param rows - in the text format: {@link copyText}, tabs between columns, a line feed after each row
 * @throws {@link pg.DatabaseError} when the server refuses a row: none is written then
 */
export function copyIn(client: pg.ClientBase, statement: string, rows: string): Promise<void> {
  return new Promise((resolve, reject) => {
    client.query(new CopyIn(statement, rows, (error) => (error ? reject(error) : resolve())));
  });
}

const ESCAPED = /[\\\t\n\r]/;
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

/** Returns a string as a column of COPY's text format. */
export const copyText = (text: string): string =>
  ESCAPED.test(text) ? text.replace(/[\\\t\n\r]/g, (character) => ESCAPES[character] as string) : text;
