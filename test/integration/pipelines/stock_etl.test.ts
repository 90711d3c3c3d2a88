import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { globSync } from 'tinyglobby';
import { writePrices } from '#examples/stock_etl/prices';
import { byForm } from '../../support/jest/forms.ts';
import { runCommand } from '../../support/platforms/command_line.ts';

// Twenty years of daily prices, whatever the number of workers.

let folder: string;
let rows: number;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'stock-etl-'));
  rows = writePrices(join(folder, 'prices'), { years: 20, symbols: byForm({ short: 6, long: 60 }) });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function linesWith(threads: number): Promise<readonly string[]> {
  const output = join(folder, `with-${threads}`);
  const options = ['--option', `input=${join(folder, 'prices/*.jsonl')}`, '--option', `output=${output}`];
  const { code, stderr } = await runCommand(folder, [
    ...['pipelines', 'run', 'stock_etl/pipeline', '--threads', String(threads)],
    ...options,
  ]);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return globSync('**/*.jsonl', { cwd: output }).flatMap((file) =>
    readFileSync(join(output, file), 'utf8').trimEnd().split('\n'),
  );
}

/** The mean of the last 200 closes of a symbol, from the files. */
function lastMean(symbol: string): { readonly day: string; readonly mean: number } {
  const all = globSync('prices/*.jsonl', { cwd: folder })
    .flatMap((file) => readFileSync(join(folder, file), 'utf8').trimEnd().split('\n'))
    .map((line) => JSON.parse(line) as { symbol: string; close: number; day: string })
    .filter((price) => price.symbol === symbol && price.close > 0)
    .sort((a, b) => (a.day < b.day ? -1 : 1));
  const mean = all.slice(-200).reduce((sum, { close }) => sum + close, 0) / 200;
  return { day: all.at(-1)?.day as string, mean };
}

test('1 and 8 workers write the same rows, each symbol with all that came before', async () => {
  const { day, mean } = lastMean('S0');
  const hashes: string[] = [];
  for (const threads of [1, 8]) {
    const lines = [...(await linesWith(threads))].sort();
    expect(lines).toHaveLength(rows);
    hashes.push(createHash('sha256').update(lines.join('\n')).digest('hex'));
    const last = lines.map((line) => JSON.parse(line)).find((row) => row.symbol === 'S0' && row.day === day);
    expect(last.sma200).toBeCloseTo(mean, 9);
  }
  expect(hashes[1]).toBe(hashes[0]);
}, 300_000);
