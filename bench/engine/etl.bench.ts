import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { globSync } from 'tinyglobby';
import stockEtl from '#examples/stock_etl/pipeline';
import { writePrices } from '#examples/stock_etl/prices';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { onThreads } from '#pipelines/runner/sharded/threads';
import { report } from '../tools/result.ts';

// Twenty years of daily prices through the stock ETL, with 1 and 8 worker threads: equal files, shorter time. Two cores are what this machine has.

const YEARS = 20;
const SYMBOLS = 60;
const RUNS = 3;

export const openPipeline = async (options: Readonly<Record<string, string>>) => ({
  construct: stockEtl(options),
  async close() {},
});

async function run(options: Readonly<Record<string, string>>, threads: number): Promise<number> {
  const startedMs = performance.now();
  const launch = onThreads({ module: import.meta.url, argument: options }, 'warn');
  await runEmbedded(createPipeline(stockEtl(options)), { shards: { count: threads, launch } }).finished;
  return (performance.now() - startedMs) / 1_000;
}

/** Of all rows, in the order of their text. */
function hashOf(folder: string): string {
  const lines = globSync('**/*.jsonl', { cwd: folder }).flatMap((file) =>
    readFileSync(join(folder, file), 'utf8').trimEnd().split('\n'),
  );
  return createHash('sha256').update(lines.sort().join('\n')).digest('hex');
}

if (isMainThread) {
  const folder = mkdtempSync(join(tmpdir(), 'stock-etl-'));
  try {
    const rows = writePrices(join(folder, 'prices'), { years: YEARS, symbols: SYMBOLS });
    const seconds: Record<number, number[]> = { 1: [], 8: [] };
    const hashes = new Set<string>();
    for (let each = 0; each < RUNS; each += 1) {
      for (const threads of [1, 8]) {
        const output = join(folder, `${threads}-${each}`);
        seconds[threads]?.push(await run({ input: join(folder, 'prices/*.jsonl'), output }, threads));
        hashes.add(hashOf(output));
      }
    }
    if (hashes.size !== 1) throw new Error(`the files of ${RUNS} runs with 1 and 8 threads differ`);
    const median = (threads: number): number => seconds[threads]?.sort((a, b) => a - b)[RUNS >> 1] as number;
    report({
      bench: 'etl',
      case: `${YEARS} years of ${SYMBOLS} symbols, ${rows} rows, 8 worker threads, equal output`,
      metric: 'throughput',
      value: rows / median(8),
      unit: 'rows/s',
      peer: '1 worker thread',
      peerValue: rows / median(1),
      ratioFloor: 1,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
