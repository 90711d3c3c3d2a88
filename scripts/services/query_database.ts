import pg from 'pg';

/**
 * Runs one statement on the PostgreSQL that an environment names, on a connection of its own.
 *
 * @param database - another one of the same server
 */
export async function queryDatabase<Row extends pg.QueryResultRow>(
  env: Readonly<Record<string, string>>,
  text: string,
  database = env.DATABASE_NAME,
): Promise<readonly Row[]> {
  const { DATABASE_HOST: host, DATABASE_PORT: port, DATABASE_USER: user } = env;
  const client = new pg.Client({ host, port: Number(port), user, database });
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}
