import { encodeRows } from '#connectors/files/encode_rows';
import { pathIn } from '#connectors/files/file_system';
import { createFileSystems, type FileSystemOf } from '#connectors/files/file_systems';
import type { FileFormat, Row } from '#connectors/files/formats';
import type { DoFn, ProcessContext } from '#pipelines/engine/dofn';
import { groupByKey } from '#pipelines/model/grouping';
import type { KV, PCollection, PTransform } from '#pipelines/model/pcollection';
import { keyBy, named, parDo, windowInto } from '#pipelines/model/transforms';
import { fixedWindows } from '#pipelines/model/windows/windowing';

/** Where files are written, in which format, and when one ends. */
export interface FileSinkSettings {
  /** A folder of this machine, or `s3://bucket/…`. */
  readonly directory: string;
  readonly format: Exclude<FileFormat, 'avro'>;
  /** A file holds so many seconds of event time. */
  readonly windowSeconds: number;
  /** Files of a window, written side by side; rows are spread by `shardOf`. */
  readonly shards?: number;
  /** Late rows are taken for so long, into files of their own. */
  readonly allowedLatenessMs?: number;
  readonly prefix?: string;
  /** Absent: {@link createFileSystems} of the environment. */
  readonly fileSystems?: FileSystemOf;
}

/** The path of a file that was written. */
export type WrittenFile = string;

/**
 * Writes rows as files, one a window and shard: `year=2026/month=11/day=21/part-20261121T080000Z-0-of-1-0.parquet`, by the window's
 * beginning, UTC. A file appears whole. Its name and rows follow from window, shard and pane, so that writing it again
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
  readonly #fileSystemOf: FileSystemOf;

  constructor(settings: FileSinkSettings) {
    this.#settings = settings;
    this.#fileSystemOf = settings.fileSystems ?? createFileSystems();
  }

  async process({ key: shard, value: rows }: KV<number, readonly Row[]>, context: ProcessContext<WrittenFile>) {
    const { directory, format, shards = 1, prefix = 'part' } = this.#settings;
    const begin = new Date(context.window.start).toISOString();
    const day = `year=${begin.slice(0, 4)}/month=${begin.slice(5, 7)}/day=${begin.slice(8, 10)}`;
    const window = begin.replace(/[-:]|\.\d+/g, '');
    const file = `${prefix}-${window}-${shard}-of-${shards}-${context.pane.index}.${format}`;
    const path = pathIn(directory, `${day}/${file}`);
    await this.#fileSystemOf(path).write(path, encodeRows(format, rows));
    context.output(path);
  }
}
