import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { type Columns, pickRows, rowsOf } from '#connectors/files/columns';
import { encodeColumns, encodeRows } from '#connectors/files/encode_rows';
import { FilePieces, type FileUnit, unitOf } from '#connectors/files/file_pieces';
import { pathIn } from '#connectors/files/file_system';
import { createFileSystems, type FileSystemOf } from '#connectors/files/file_systems';
import type { DoFn, ProcessContext } from '#pipelines/engine/dofn';
import { Counter } from '#pipelines/engine/metrics';
import { groupByKey } from '#pipelines/model/grouping';
import type { KV, PCollection, PipelineRoot, PTransform } from '#pipelines/model/pcollection';
import { create, keyBy, named, parDo } from '#pipelines/model/transforms';
import type { LoadedModel } from '../models/loaded_model.ts';
import { predictionColumns, scoreColumns } from './batch_scorer.ts';

export const BATCH_FORMATS = ['parquet', 'jsonl', 'csv'] as const;

export interface ScoreFilesSettings {
  /** Paths with `*`, `**` and so on, of this machine or `s3://bucket/…`. */
  readonly patterns: readonly string[];
  /** A folder of this machine, or `s3://bucket/…`. */
  readonly directory: string;
  readonly format: (typeof BATCH_FORMATS)[number];
  /** Columns of the input that go along; absent: those that the model does not take. */
  readonly keep?: readonly string[];
  readonly fileSystems?: FileSystemOf;
}

/** A part of a file, scored on its own and written as a file of its own. */
export interface ScorePart {
  readonly path: string;
  readonly from: number;
  readonly to: number;
  /** Where its answers go. */
  readonly target: string;
}

/** What became of a part. */
export interface PartScored {
  readonly target: string;
  readonly rows: number;
  readonly refused: number;
}

const BYTES_A_PART = 16 * 1_024 * 1_024;
/** Parts are assigned to so many keys: what threads and workers share. */
const KEYS = 64;

/** The parts of the files, in the order of their names. @throws what finding and opening them fails with */
export async function partsOf(settings: ScoreFilesSettings): Promise<readonly ScorePart[]> {
  const pieces = new FilePieces(settings.fileSystems);
  try {
    const parts: ScorePart[] = [];
    for (const path of await pieces.find(settings.patterns)) {
      const length = await pieces.lengthOf(path);
      const step = stepOf(unitOf(path));
      const end = length ?? Number.MAX_SAFE_INTEGER;
      for (let from = 0; from < end; from += step) {
        const to = Math.min(end, from + step);
        parts.push({ path, from, to, target: targetOf(settings, path, from) });
      }
    }
    return parts;
  } finally {
    await pieces.close();
  }
}

const stepOf = (unit: FileUnit): number =>
  unit === 'bytes' ? BYTES_A_PART : unit === 'rowGroups' ? 1 : Number.MAX_SAFE_INTEGER;

/** Named by the part: scored again, it is written over. Files of one name in two folders keep apart. */
function targetOf({ directory, format }: ScoreFilesSettings, path: string, from: number): string {
  const name = basename(path).replace(/\.[a-z.]+$/i, '');
  const place = createHash('sha256').update(path).digest('hex').slice(0, 8);
  return pathIn(directory, `${name}-${place}-${String(from).padStart(12, '0')}.${format}`);
}

/** Where the rows of a part go that the model cannot take. */
export const refusedPathOf = ({ target }: Pick<ScorePart, 'target'>): string =>
  target.replace(/([^/]+)\.[a-z]+$/, 'refused/$1.jsonl');

/** Says that a part is done, and what became of it; written last. */
export const donePathOf = ({ target }: Pick<ScorePart, 'target'>): string =>
  target.replace(/([^/]+)\.[a-z]+$/, '_done/$1.json');

/**
 * Scores files, part by part, on whatever runner. A part's answers appear whole, under a name that follows from the part; what is there already is not
 * scored again, so that a run which was stopped resumes where it was.
 *
 * @param loadModel - called once by each thread or worker
 */
export function scoreFiles(
  parts: readonly ScorePart[],
  loadModel: () => Promise<LoadedModel>,
  settings: ScoreFilesSettings,
): PTransform<PipelineRoot, PCollection<PartScored>> {
  const places = new Map(parts.map(({ target }, index) => [target, index]));
  return named('ScoreFiles', (root: PipelineRoot) =>
    root
      .apply(create(parts, 'Parts'))
      .apply(keyBy(({ target }: ScorePart) => (places.get(target) ?? 0) % KEYS))
      .apply(groupByKey())
      .apply(parDo(new ScorePartFn(loadModel, settings), { name: 'Score' })),
  );
}

class ScorePartFn implements DoFn<KV<number, readonly ScorePart[]>, PartScored> {
  readonly scored = new Counter('scored_rows');
  readonly refused = new Counter('refused_rows');
  readonly #loadModel: () => Promise<LoadedModel>;
  readonly #settings: ScoreFilesSettings;
  readonly #fileSystemOf: FileSystemOf;
  readonly #pieces: FilePieces;
  #model: Promise<LoadedModel> | undefined;
  #before: Promise<void> = Promise.resolve();

  constructor(loadModel: () => Promise<LoadedModel>, settings: ScoreFilesSettings) {
    this.#loadModel = loadModel;
    this.#settings = settings;
    this.#fileSystemOf = settings.fileSystems ?? createFileSystems();
    this.#pieces = new FilePieces(settings.fileSystems);
  }

  startBundle(): void {
    this.#before = Promise.resolve();
  }

  /** One part after the other: each is in memory as a whole. */
  process(element: KV<number, readonly ScorePart[]>, context: ProcessContext<PartScored>): Promise<void> {
    this.#before = this.#before.then(() => this.#scoreAll(element, context));
    return this.#before;
  }

  async #scoreAll(
    { value: parts }: KV<number, readonly ScorePart[]>,
    context: ProcessContext<PartScored>,
  ): Promise<void> {
    for (const part of parts) {
      const done = donePathOf(part);
      if ((await this.#fileSystemOf(done).glob(done)).length > 0) continue;
      const result = await this.#score(part);
      await this.#write(done, Buffer.from(JSON.stringify(result)));
      this.scored.inc(result.rows);
      this.refused.inc(result.refused);
      context.output(result);
    }
  }

  async #score(part: ScorePart): Promise<PartScored> {
    this.#model ??= this.#loadModel();
    const model = await this.#model;
    const { columns, refused: unreadable } = await this.#pieces.readColumns(part.path, part.from, part.to);
    const { output, good, refused } = await scoreColumns(model, columns);
    const bad = [
      ...unreadable.map(({ ok: _, reason, ...line }) => ({ file: part.path, problems: [reason], ...line })),
      ...refused.map(({ row, problems }) => ({
        ...{ file: part.path, problems, row: rowsOf(pickRows(columns, [row]))[0] },
      })),
    ];
    if (bad.length > 0) await this.#write(refusedPathOf(part), encodeRows('jsonl', bad));
    const kept = this.#kept(model, good === undefined ? columns : pickRows(columns, good));
    const answers = { rows: kept.rows, values: new Map([...kept.values, ...predictionColumns(model, output)]) };
    await this.#write(part.target, this.#encode(answers));
    return { target: part.target, rows: kept.rows, refused: bad.length };
  }

  #kept(model: LoadedModel, { rows, values }: Columns): Columns {
    const { keep } = this.#settings;
    const taken = new Set(model.encoder.names);
    const names = keep ?? [...values.keys()].filter((name) => !taken.has(name));
    const empty: readonly unknown[] = new Array(rows).fill(null);
    return { rows, values: new Map(names.map((name) => [name, values.get(name) ?? empty])) };
  }

  #encode(columns: Columns): Buffer {
    const { format } = this.#settings;
    return format === 'parquet' ? encodeColumns(columns) : encodeRows(format, rowsOf(columns));
  }

  #write(path: string, bytes: Uint8Array): Promise<string> {
    return this.#fileSystemOf(path).write(path, bytes);
  }

  async teardown(): Promise<void> {
    await this.#pieces.close();
    await (await this.#model)?.release();
  }
}
