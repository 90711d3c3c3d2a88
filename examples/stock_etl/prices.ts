import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DAY_MS, Random } from 'headwater/features';

export interface PriceFiles {
  readonly years: number;
  readonly symbols: number;
}

/** Writes daily prices of random walks as JSON lines, a file a year, the days of a year in no order; one row in a thousand has a price that cannot be. @returns the rows that can be */
export function writePrices(folder: string, { years, symbols }: PriceFiles): number {
  mkdirSync(folder, { recursive: true });
  const random = new Random(7);
  const closes = Array.from({ length: symbols }, (_, at) => 20 + at);
  let possible = 0;
  for (let year = 2006; year < 2006 + years; year += 1) {
    const lines: string[] = [];
    for (let at = Date.UTC(year, 0, 1); at < Date.UTC(year + 1, 0, 1); at += DAY_MS) {
      const weekday = new Date(at).getUTCDay();
      if (weekday === 0 || weekday === 6) continue;
      const day = new Date(at).toISOString().slice(0, 10);
      for (let symbol = 0; symbol < symbols; symbol += 1) {
        closes[symbol] = (closes[symbol] as number) * Math.exp((random.next() - 0.5) * 0.04);
        const isPossible = random.next() >= 0.001;
        if (isPossible) possible += 1;
        const close = isPossible ? Math.round((closes[symbol] as number) * 100) / 100 : -1;
        lines.push(JSON.stringify({ symbol: `S${symbol}`, day, close, volume: Math.floor(random.next() * 1e6) }));
      }
    }
    for (let at = lines.length - 1; at > 0; at -= 1) {
      const other = Math.floor(random.next() * (at + 1));
      [lines[at], lines[other]] = [lines[other] as string, lines[at] as string];
    }
    writeFileSync(join(folder, `${year}.jsonl`), `${lines.join('\n')}\n`);
  }
  return possible;
}
