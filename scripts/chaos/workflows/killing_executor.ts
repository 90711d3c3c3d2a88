import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { Random } from '#kernel/random';

const STATEMENTS_OF_MOVES = /UPDATE workflow_frames|INSERT INTO workflow_frames/;

/** Ends this process with SIGKILL around commits of transitions: before one is sent, while it is under way, or after its answer. */
export function killingExecutor(sql: SqlExecutor, random: Random, probability: number): SqlExecutor {
  const end = (): never => {
    process.kill(process.pid, 'SIGKILL');
    throw new Error('killed');
  };
  const around = async <T>(text: string, send: () => Promise<T>): Promise<T> => {
    if (!STATEMENTS_OF_MOVES.test(text) || !random.chance(probability)) return send();
    const moment = random.integer(0, 3);
    if (moment === 0) end();
    const sent = send();
    if (moment === 1) setTimeout(end, random.integer(0, 4));
    const answer = await sent;
    if (moment === 2) end();
    return answer;
  };
  return {
    open: () => sql.open(),
    close: () => sql.close(),
    script: (text) => sql.script(text),
    query: <Row>(text: string, parameters?: readonly unknown[]) => around(text, () => sql.query<Row>(text, parameters)),
    transaction: (statements) =>
      around(statements.map(({ text }) => text).join('\n'), () => sql.transaction(statements)),
    ...(sql.listen === undefined ? {} : { listen: sql.listen.bind(sql) }),
  };
}
