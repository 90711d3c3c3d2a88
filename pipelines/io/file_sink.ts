import { randomUUID } from 'node:crypto';
import { mkdir, open, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { encodeRows, type FileFormat, type Row } from '#connectors/files/formats';
import type { DoFn, ProcessContext } from '#pipelines/engine/dofn';
import { groupByKey } from '#pipelines/model/grouping';
import type { KV, PCollection, PTransform } from '#pipelines/model/pcollection';
import { keyBy, named, parDo, windowInto } from '#pipelines/model/transforms';
import { fixedWindows } from '#pipelines/model/windowing';

export interface FileSinkSettings {
  readonly directory: string;
  readonly format: Exclude<FileFormat, 'avro'>;
  /** A file holds so many seconds of event time. */
  readonly windowSeconds: number;
  /** Files of a window, written side by side; rows are spread by `shardOf`. */
  readonly shards?: number;
  /** Late rows are taken for so long, into files of their own. */
  readonly allowedLatenessMs?: number;
  readonly prefix?: string;
}

/** The path of a file that was written. */
export type WrittenFile = string;

/**
 * Writes rows as files, one a window and shard: `year=2026/month=11/day=21/part-20261121T080000Z-0-of-1-0.parquet`, by the window's
 * beginning, UTC. A file appears whole, by renaming. Its name and rows follow from window, shard and pane, so that writing it again
 * after a failure replaces it by the same: every row is in exactly one file.
 */
export function writeFiles(
  settings: FileSinkSettings,
  shardOf: (row: Row) => number,
  name = 'WriteFiles',
): PTransform<PCollection<Row>, PCollection<WrittenFile>> {
  const { windowSeconds, shards = 1, allowedLatenessMs = 0 } = settings;
  return named(name, (rows: PCollection<Row>) =>
    rows
      .apply(windowInto<Row>({ windowFn: fixedWindows(windowSeconds), allowedLatenessMs }))
      .apply(keyBy((row) => ((shardOf(row) % shards) + shards) % shards))
      .apply(groupByKey())
      .apply(parDo(new WriteFile(settings), { name: 'WriteFile' })),
  );
}

class WriteFile implements DoFn<KV<number, readonly Row[]>, WrittenFile> {
  readonly #settings: FileSinkSettings;

  constructor(settings: FileSinkSettings) {
    this.#settings = settings;
  }

  async process({ key: shard, value: rows }: KV<number, readonly Row[]>, context: ProcessContext<WrittenFile>) {
    const { directory, format, shards = 1, prefix = 'part' } = this.#settings;
    const begin = new Date(context.window.start).toISOString();
    const day = `year=${begin.slice(0, 4)}/month=${begin.slice(5, 7)}/day=${begin.slice(8, 10)}`;
    const window = begin.replace(/[-:]|\.\d+/g, '');
    const file = `${prefix}-${window}-${shard}-of-${shards}-${context.pane.index}.${format}`;
    const path = join(directory, day, file);
    await writeAtomically(path, encodeRows(format, rows));
    context.output(path);
  }
}

async function writeAtomically(path: string, bytes: Buffer): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
  const handle = await open(temporary, 'w');
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path);
}
