/** Writes rows of one source into a table whose rows a key identifies. */
export interface Upsert {
  /** As it stands in SQL. */
  readonly table: string;
  readonly columns: readonly string[];
  /** Columns with a unique index. */
  readonly key: readonly string[];
  /** A function call that gives rows with these columns, in the order they were sent. */
  readonly source: string;
  /** Columns of `source` and their types, where the function does not know them: `jsonb_to_recordset`. */
  readonly types?: Readonly<Record<string, string>>;
  /**
   * What becomes of a row whose key is in the table: it is replaced (`always`), stays (`never`), or is replaced unless it has more in a
   * column. The same decides between rows of one key in one statement: the last, the first, the one with the most.
   */
  readonly replace: 'always' | 'never' | { readonly unlessNewer: string };
  /** A row that is in the table with the same value of this column stays as it is. */
  readonly unlessEqual?: string;
  /**
   * Column that says who wrote a row, null where that does not count. A writer that is named there replaces rows of others although they are newer, and is noted in those that stay because they are
   * equal.
   */
  readonly writer?: string;
  /** Further assignments of the update. */
  readonly also?: string;
}

/** The alias of what is in the table, for conditions. */
const HELD = 'held';

/**
 * Returns an upsert that may be given rows with equal keys: PostgreSQL refuses a statement that changes a row twice (21000, "ON CONFLICT DO UPDATE
 * command cannot affect row a second time"). Keys are compared by the server, whose types decide what is equal. Rows are written in the order of
 * their keys: statements that write the same rows wait for each other, and not in a circle.
 */
export function upsertStatement(upsert: Upsert): string {
  const { table, columns, key, source, types, replace, unlessEqual, writer, also } = upsert;
  const list = columns.map(quoted).join(', ');
  const keys = key.map(quoted).join(', ');
  const changed = columns.filter((column) => !key.includes(column)).map(quoted);
  const newer = typeof replace === 'object' ? quoted(replace.unlessNewer) : undefined;
  const order = `${keys}, ${newer === undefined ? '' : `${newer} DESC NULLS LAST, `}${POSITION} ${replace === 'never' ? 'ASC' : 'DESC'}`;
  const typed = Object.entries(types ?? {}).map(([name, type]) => `${quoted(name)} ${type}`);
  const from = `${source} AS sent${types === undefined ? '' : `(${typed.join(', ')})`}`;
  const differs = (column: string): string => `${HELD}.${quoted(column)} IS DISTINCT FROM excluded.${quoted(column)}`;
  const isOthers = writer === undefined ? undefined : `(excluded.${quoted(writer)} IS NOT NULL AND ${differs(writer)})`;
  const or = (condition: string): string => (isOthers === undefined ? condition : `(${condition} OR ${isOthers})`);
  const update = changed.map((column) => {
    // A row that only gets another writer keeps the rest.
    const keeps = isOthers !== undefined && unlessEqual !== undefined && column !== quoted(writer ?? '');
    const value = keeps
      ? `CASE WHEN ${differs(unlessEqual)} THEN excluded.${column} ELSE ${HELD}.${column} END`
      : `excluded.${column}`;
    return `${column} = ${value}`;
  });
  const action =
    replace === 'never' || update.length === 0
      ? 'NOTHING'
      : `UPDATE SET ${[...update, ...(also === undefined ? [] : [also])].join(', ')}`;
  const conditions = [
    ...(newer === undefined ? [] : [or(`(${HELD}.${newer} IS NULL OR ${HELD}.${newer} <= excluded.${newer})`)]),
    ...(unlessEqual === undefined ? [] : [or(differs(unlessEqual))]),
  ];
  const condition = action === 'NOTHING' || conditions.length === 0 ? '' : `\nWHERE ${conditions.join(' AND ')}`;
  return `INSERT INTO ${table} AS ${HELD} (${list})
SELECT DISTINCT ON (${keys}) ${list} FROM (SELECT ${list}, row_number() OVER () AS ${POSITION} FROM ${from}) AS sent
ORDER BY ${order}
ON CONFLICT (${keys}) DO ${action}${condition}`;
}

const POSITION = '"position in batch"';

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
