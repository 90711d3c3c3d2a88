import { writePostgres } from '#pipelines/io/postgres_sink';
import { readPostgres } from '#pipelines/io/postgres_source';

/** Copies a table into another, row by row. */
export default ({ url, from, to, parts }) =>
  (root) => {
    root
      .apply(readPostgres({ url, table: from, parts: Number(parts), pageRows: 50 }))
      .apply(writePostgres({ url, table: to, key: ['id'], columns: ['id', 'n', 'body'], batchRows: 20 }));
  };
