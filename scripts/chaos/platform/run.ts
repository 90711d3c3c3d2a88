import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '#kernel/errors';
import { canMount, Images } from './component_rounds.ts';
import { loadComponents } from './components/load.ts';
import { makeTemplate, TEMPLATE_VARIABLE } from './components/offline_store.ts';
import { EmbeddedImage } from './embedded_rounds.ts';
import { componentKinds, type Kind } from './kinds.ts';
import { Ledger } from './ledger.ts';
import { failed, NOTHING, type Outcome } from './outcome.ts';
import { Random } from './random.ts';
import { SharedServices } from './services_rounds.ts';
import { embeddedKinds, servicesKinds } from './whole_kinds.ts';

export interface ChaosOptions {
  readonly seed: number;
  readonly faults: number;
  /** No round begins after so long. */
  readonly minutes: number;
  /** Rounds are kept there, and those that are there are not run again. */
  readonly resume?: string | undefined;
  /** Only kinds whose name contains it. */
  readonly only?: string | undefined;
  /** Only this round of the run, to look at it again. */
  readonly round?: number | undefined;
  /** Folders of rounds that failed are kept. */
  readonly keep: boolean;
  /** Components only. */
  readonly isQuick: boolean;
}

/** Rounds of single components and embedded platforms at once, on two cores; those with real servers, which mostly wait, run beside them. */
const LANES = 2;
const REPORT_EVERY = 50;
/** Files in memory where there is such a file system: rounds sync thousands of times. */
const ROOT = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** npm run test:chaos -- platform: faults of every kind, in an order that the seed decides; after each everything that was accepted is looked for. */
export async function chaosPlatform(options: ChaosOptions): Promise<{ passed: number; failed: number }> {
  const startedMs = Date.now();
  const ledger = new Ledger(options.resume, { seed: options.seed, faults: options.faults });
  const { seed, faults } = ledger.header;
  process.stdout.write(`seed ${seed}, ${faults} faults, at most ${options.minutes} minutes\n`);
  const base = mkdtempSync(join(ROOT, 'chaos-'));
  process.env[TEMPLATE_VARIABLE] = await makeTemplate(base);
  const withDisks = canMount(base);
  if (!withDisks) process.stdout.write('this user may not mount a disk: full disks are left out\n');
  const services = new SharedServices();
  const embedded = new EmbeddedImage(base);
  const all = options.isQuick
    ? componentKinds(await loadComponents(), withDisks)
    : [
        ...componentKinds(await loadComponents(), withDisks),
        ...embeddedKinds(() => embedded, withDisks),
        ...servicesKinds(services),
      ];
  const kinds = all.filter(({ name }) => name.includes(options.only ?? ''));
  const order = schedule(kinds, faults, new Random(seed));
  let isInterrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      isInterrupted = true;
    });
  }
  const rounds = order
    .map((kind, index) => ({ kind, index }))
    .filter(({ index }) => !ledger.has(index) && (options.round ?? index) === index);
  const [shared, alone] = [true, false].map((isShared) =>
    rounds.filter(({ kind }) => (kind.sharesPlatform ?? false) === isShared),
  ) as [typeof rounds, typeof rounds];
  const lane = async (number: number, queue: typeof rounds): Promise<void> => {
    const own = join(base, `lane-${number}`);
    mkdirSync(own);
    const images = new Images(own);
    for (let round = queue.shift(); round !== undefined; round = queue.shift()) {
      if (isInterrupted || Date.now() - startedMs > options.minutes * 60_000) return;
      const { kind, index } = round;
      const notes: string[] = [];
      const folder = join(base, `round-${index}`);
      mkdirSync(folder);
      const roundStartedMs = Date.now();
      const random = new Random(seed).fork(index);
      const outcome = await run(kind, { folder, random, images, note: (text: string) => void notes.push(text) });
      ledger.add({ ...outcome, index, kind: kind.name, notes, elapsedMs: Date.now() - roundStartedMs });
      if (failed(outcome)) {
        process.stdout.write(`round ${index}, ${kind.name}: ${outcome.problems.join('; ')} (${notes.join('; ')})\n`);
      }
      if (!failed(outcome) || !options.keep) rmSync(folder, { recursive: true, force: true });
      if (ledger.entries.length % REPORT_EVERY === 0) {
        const minutes = ((Date.now() - startedMs) / 60_000).toFixed(1);
        process.stdout.write(
          `${ledger.entries.length} rounds after ${minutes} minutes, ${ledger.failures.length} failed\n`,
        );
      }
    }
  };
  try {
    const queues = [...Array.from({ length: LANES }, () => alone), shared];
    await Promise.all(queues.map((queue, number) => lane(number, queue)));
  } finally {
    await services.stop();
    if (!options.keep) rmSync(base, { recursive: true, force: true });
  }
  process.stdout.write(`${ledger.table()}\n`);
  const left = faults - ledger.entries.length;
  if (left > 0 && options.round === undefined) {
    const how =
      options.resume === undefined
        ? 'name a file with --resume next time'
        : `run again with --resume ${options.resume}`;
    process.stdout.write(`${left} faults were not run: ${how}\n`);
  }
  return { passed: ledger.entries.length - ledger.failures.length, failed: ledger.failures.length };
}

async function run(kind: Kind, round: Parameters<Kind['run']>[0]): Promise<Outcome> {
  try {
    return await kind.run(round);
  } catch (error) {
    const stack = error instanceof Error ? (error.stack ?? '').split('\n').slice(1, 4).join(' ') : '';
    return { ...NOTHING, problems: [`the round itself failed: ${messageOf(error)} ${stack}`] };
  }
}

/** Returns the kinds in the order in which they come: each by its weight, mixed. */
function schedule(kinds: readonly Kind[], faults: number, random: Random): readonly Kind[] {
  const total = kinds.reduce((sum, { weight }) => sum + weight, 0);
  const order = kinds.flatMap((kind) =>
    Array<Kind>(Math.max(1, Math.round((kind.weight / total) * faults))).fill(kind),
  );
  while (order.length < faults) order.push(random.pick(kinds));
  for (let at = order.length - 1; at > 0; at -= 1) {
    const other = random.between(0, at);
    [order[at], order[other]] = [order[other] as Kind, order[at] as Kind];
  }
  return order.slice(0, faults);
}
