import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { failed, joined, type Outcome } from './outcome.ts';

/** A round that is over. */
export interface Entry extends Outcome {
  readonly index: number;
  readonly kind: string;
  readonly notes: readonly string[];
  readonly elapsedMs: number;
}

interface Header {
  readonly seed: number;
  readonly faults: number;
}

/** The rounds of a run, in a file where one is named: a run that was stopped is resumed from it. */
export class Ledger {
  readonly header: Header;
  readonly entries: Entry[] = [];
  readonly #file: string | undefined;

  constructor(file: string | undefined, header: Header) {
    this.#file = file;
    const lines = file !== undefined && existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
    const [first, ...rest] = lines;
    this.header = first === undefined ? header : (JSON.parse(first) as Header);
    if (first === undefined && file !== undefined) appendFileSync(file, `${JSON.stringify(header)}\n`);
    for (const line of rest) {
      try {
        this.entries.push(JSON.parse(line) as Entry);
      } catch {
        // The run was stopped while it wrote the last line: that round is run again.
      }
    }
  }

  add(entry: Entry): void {
    this.entries.push(entry);
    if (this.#file !== undefined) appendFileSync(this.#file, `${JSON.stringify(entry)}\n`);
  }

  has(index: number): boolean {
    return this.entries.some((entry) => entry.index === index);
  }

  get failures(): readonly Entry[] {
    return this.entries.filter(failed);
  }

  /** The table of kinds, with a last line of everything. */
  table(): string {
    const kinds = [...new Set(this.entries.map(({ kind }) => kind))].sort();
    const line = (name: string, entries: readonly Entry[]): readonly (string | number)[] => {
      const { accepted, found, lost, doubled, refused, problems } = joined(entries);
      const seconds = Math.round(entries.reduce((sum, { elapsedMs }) => sum + elapsedMs, 0) / 1_000);
      return [name, entries.length, accepted, found, lost, doubled, refused, problems.length, seconds];
    };
    const rows = [
      ['fault kind', 'rounds', 'accepted', 'found', 'lost', 'doubled', 'refused at start', 'problems', 'seconds'],
      ...kinds.map((kind) =>
        line(
          kind,
          this.entries.filter((entry) => entry.kind === kind),
        ),
      ),
      line('all', this.entries),
    ].map((row) => row.map(String));
    const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
    return rows
      .map((row) =>
        row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('  '),
      )
      .join('\n');
  }
}
