import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { assetPath } from '#kernel/project_root';
import { readSnapshotFile } from '#pipelines/runner/snapshot_file';
import type { StateOptions } from '#pipelines/runner/state_options';
import { chaosEvent, STATE_WINDOW_MS } from './engine_job.ts';

// npm run test:chaos -- engine|engine-threads [KILLS] [--state heap|disk]: kills the embedded engine with SIGKILL at random moments, again and again, and compares
// what it has written in the end with plain loops over the events.

/** So many that the job is not done before the last kill. */
const EVENTS_PER_KILL = 30_000;
const LONGEST_LIFE_MS = 900;
/** Kills after which the newest snapshot is damaged, too. */
const DAMAGED = 0.1;

/** Runs until all kills are done and the job has ended by itself. */
export async function chaosEngine(
  kills: number,
  state: StateOptions['kind'],
  threads = 0,
): Promise<{ passed: number; failed: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'chaos-engine-'));
  const seed = Number(process.env.CHAOS_SEED ?? Date.now() % 100_000);
  process.stdout.write(`seed ${seed} (CHAOS_SEED), ${kills} kills, state: ${state}\n`);
  const random = randomFrom(seed);
  const events = kills * EVENTS_PER_KILL;
  try {
    let done = 0;
    let finishedEarly = false;
    for (; done < kills && !finishedEarly; done += 1) {
      const child = start(folder, { events, threads, state });
      await child.running;
      finishedEarly = await Promise.race([child.ended, sleep(random() * LONGEST_LIFE_MS).then(() => false)]);
      if (!finishedEarly) {
        child.process.kill('SIGKILL');
        await child.ended;
        if (random() < DAMAGED) await damageNewest(join(folder, 'snapshots'), random);
      }
    }
    if (!finishedEarly) {
      const last = start(folder, { events, threads, state });
      if (!(await last.ended)) throw new Error('the job did not end by itself');
    }
    process.stdout.write(`killed ${finishedEarly ? done - 1 : done} times\n`);
    const differences = compare(readOutput(folder), expected(events));
    for (const difference of differences.slice(0, 10)) process.stdout.write(`${difference}\n`);
    const enough = !finishedEarly;
    if (!enough) process.stdout.write('the job ended before all kills were made: give it more events\n');
    return { passed: differences.length === 0 && enough ? 1 : 0, failed: differences.length === 0 && enough ? 0 : 1 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Returns the files of the store that a snapshot refers to; undefined where it cannot be read. */
const storedBy = (snapshot: string): Promise<readonly string[] | undefined> =>
  readSnapshotFile(snapshot).then(
    ({ store }) => (store?.files ?? []).map(({ hash }) => hash),
    () => undefined,
  );

/**
 * Changes a byte of the newest snapshot, where there is an older one: of its file, or of a file of the store that only it refers to. The job is to find that and begin with
 * the older one.
 */
async function damageNewest(folder: string, random: () => number): Promise<void> {
  const snapshots = filesIn(folder, /^snapshot-\d+\.bin$/);
  const [older, newest] = snapshots.slice(-2);
  if (older === undefined || newest === undefined) return;
  const [before, files] = await Promise.all([storedBy(older), storedBy(newest)]);
  // One of them was damaged before: the job needs the other.
  if (before === undefined || files === undefined) return;
  const stored = files.filter((hash) => !before.includes(hash)).map((hash) => join(folder, 'state', hash));
  const file = stored.length > 0 && random() < 0.5 ? (stored[Math.floor(random() * stored.length)] as string) : newest;
  const content = readFileSync(file);
  if (content.length === 0) return;
  const at = Math.floor(random() * content.length);
  content[at] = (content[at] as number) ^ 0x55;
  // Tables are links to files that the next job does not write to: changed in place, as a disk would.
  writeFileSync(file, content);
}

const filesIn = (folder: string, name: RegExp): string[] =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((one) => name.test(one))
        .sort()
        .map((one) => join(folder, one))
    : [];

interface Started {
  readonly process: ChildProcess;
  readonly running: Promise<void>;
  /** True when it ended by itself, with success. */
  readonly ended: Promise<boolean>;
}

interface Job {
  readonly events: number;
  readonly threads: number;
  readonly state: StateOptions['kind'];
}

function start(folder: string, { events, threads, state }: Job): Started {
  const child = spawn(
    process.execPath,
    [assetPath('dist/scripts/chaos/engine_job.js'), folder, String(events), String(threads), state],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const running = new Promise<void>((resolve) => child.stdout?.once('data', () => resolve()));
  const ended = new Promise<boolean>((resolve) => child.on('exit', (code) => resolve(code === 0)));
  return { process: child, running: Promise.race([running, ended.then(() => {})]), ended };
}

/** What an upserting store holds: the last value of each key. A last line that a kill cut short was never acknowledged. */
function readOutput(folder: string): Map<string, number> {
  const rows = new Map<string, number>();
  for (const line of readFileSync(join(folder, 'output.jsonl'), 'utf8').split('\n')) {
    const row = parse(line);
    if (row !== undefined) rows.set(row[0], row[1]);
  }
  return rows;
}

function parse(line: string): readonly [string, number] | undefined {
  try {
    return line === '' ? undefined : (JSON.parse(line) as [string, number]);
  } catch {
    return undefined;
  }
}

function expected(events: number): Map<string, number> {
  const rows = new Map<string, number>();
  for (let index = 0; index < events; index += 1) {
    const { key, value, at } = chaosEvent(index);
    for (const [name, size] of [
      ['window', 2_000],
      ['state', STATE_WINDOW_MS],
    ] as const) {
      const row = `${name} ${key} ${Math.floor(at / size) * size}`;
      rows.set(row, (rows.get(row) ?? 0) + value);
    }
  }
  return rows;
}

function compare(actual: ReadonlyMap<string, number>, wanted: ReadonlyMap<string, number>): string[] {
  const differences: string[] = [];
  for (const [key, value] of wanted) {
    if (actual.get(key) !== value) differences.push(`${key}: ${actual.get(key)}, where ${value} was expected`);
  }
  for (const key of actual.keys()) if (!wanted.has(key)) differences.push(`${key}: not expected`);
  return differences;
}

function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
