import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RunningPlatform } from '#cli/parts/control_client';
import { loadPlatformConfig } from '#cli/project/config/platform_config';
import { assetPath } from '#kernel/project_root';
import { CardEvents } from './card_events.ts';
import { fillDisk, mountDisk, type Round, unmountDisk, withoutRefusals } from './component_rounds.ts';
import type { Damage } from './damage.ts';
import { joined, NOTHING, type Outcome } from './outcome.ts';

// Rounds on the whole platform in one process, as `headwater start` runs it with nothing else installed.

const READY_WITHIN_MS = 240_000;
/** Room for PGlite, its log and what else is written, MiB. */
const DISK_MIB = 200;
/** The command prints the message of an error that has a name, and the stack of any other. */
const isNamed = (output: string): boolean => /^headwater: /m.test(output) && !/^ {4}at /m.test(output);

/** A start that did not succeed. */
class StartRefused extends Error {
  readonly output: string;

  constructor(output: string) {
    super(`the platform did not start: ${output.slice(-1_500)}`);
    this.output = output;
  }
}

class EmbeddedPlatform {
  readonly gateway: string;
  readonly #child: ChildProcess;
  readonly #data: string;

  private constructor(child: ChildProcess, data: string, gateway: string) {
    this.#child = child;
    this.#data = data;
    this.gateway = gateway;
  }

  /** @throws {@link StartRefused} */
  static async start(data: string): Promise<EmbeddedPlatform> {
    const child = spawn(process.execPath, [assetPath('dist/cli/headwater.js'), 'start', '--role', 'gateway,pipeline'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environmentOf(data) },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
    }
    for (const giveUpAt = Date.now() + READY_WITHIN_MS; !/^ready;/m.test(output); ) {
      if (child.exitCode !== null || child.signalCode !== null || Date.now() > giveUpAt) {
        child.kill('SIGKILL');
        throw new StartRefused(output);
      }
      await sleep(20);
    }
    return new EmbeddedPlatform(child, data, /^ingestion gateway\s+(http\S+)$/m.exec(output)?.[1] ?? '');
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill(signal);
    await once(this.#child, 'exit');
  }

  async look(events: CardEvents): Promise<Outcome> {
    const config = loadPlatformConfig(environmentOf(this.#data));
    const [online, offline] = [
      (await RunningPlatform.find(config, 'online'))?.online(),
      (await RunningPlatform.find(config, 'offline'))?.offline(),
    ];
    if (online === undefined || offline === undefined)
      throw new Error('the platform does not answer on its control socket');
    return events.look({ online, offline });
  }
}

const environmentOf = (data: string): Readonly<Record<string, string>> => ({
  ...{ NODE_OPTIONS: '', NODE_NO_WARNINGS: '1', LOG_LEVEL: 'error', ENVIRONMENT: 'embedded', DATA_DIRECTORY: data },
  ...{ GATEWAY_PORT: '0', PIPELINE_PORT: '0', FEATURE_API_PORT: '0', MONITOR_PORT: '0', API_PORT: '0' },
});

/** A data directory that a platform was killed on, with events that it had accepted. */
export class EmbeddedImage {
  readonly #folder: string;
  #made: Promise<CardEvents> | undefined;

  constructor(under: string) {
    this.#folder = join(under, 'embedded');
  }

  /** Copies it to the folder of a round. */
  async copyTo(data: string, { random }: Round): Promise<CardEvents> {
    this.#made ??= this.#make(random);
    const events = await this.#made;
    await cp(this.#folder, data, { recursive: true, filter: (source) => !/control\.sock$|\/\.lock$/.test(source) });
    return events;
  }

  async #make(random: Round['random']): Promise<CardEvents> {
    mkdirSync(this.#folder);
    const platform = await EmbeddedPlatform.start(this.#folder);
    const events = new CardEvents('kept', random);
    await events.send(() => platform.gateway);
    await platform.look(events);
    await sleep(1_500);
    await platform.end('SIGKILL');
    return events;
  }
}

/** Killed while events come in, and started again. */
export async function embeddedKilled(image: EmbeddedImage, round: Round): Promise<Outcome> {
  const { folder, random, note } = round;
  const data = join(folder, 'data');
  const before = await image.copyTo(data, round);
  const events = new CardEvents(`k${random.between(0, 1e9)}`, random);
  let platform = await EmbeddedPlatform.start(data);
  try {
    const sending = events.send(() => platform.gateway);
    sending.catch(() => {});
    await sleep(random.between(0, 400));
    await platform.end('SIGKILL');
    note(`killed after ${events.accepted} events`);
    platform = await EmbeddedPlatform.start(data);
    await sending;
    await events.send(() => platform.gateway, 1 / 8);
    return joined([await platform.look(before), await platform.look(events)]);
  } finally {
    await platform.end('SIGKILL');
  }
}

/** A second platform on the same folders, and pauses of the first. */
export async function embeddedOwners(image: EmbeddedImage, round: Round): Promise<Outcome> {
  const { folder, random, note } = round;
  const data = join(folder, 'data');
  const before = await image.copyTo(data, round);
  const platform = await EmbeddedPlatform.start(data);
  const problems: string[] = [];
  try {
    const events = new CardEvents(`o${random.between(0, 1e9)}`, random);
    const sending = events.send(() => platform.gateway);
    sending.catch(() => {});
    const isPaused = random.next() < 0.5;
    if (isPaused) platform.signal('SIGSTOP');
    note(isPaused ? 'while the first is paused' : 'while the first works');
    const second = EmbeddedPlatform.start(data);
    if (isPaused) setTimeout(() => platform.signal('SIGCONT'), 2_000);
    await second.then(
      async (other) => {
        problems.push('a second platform started on the same folders');
        await other.end('SIGKILL');
      },
      (error: unknown) => {
        if (!(error instanceof StartRefused) || !error.output.includes('is in use by'))
          problems.push(`the second one ended with ${error}`);
      },
    );
    await sending;
    const refused = { ...NOTHING, refused: 1, codes: ['STORAGE_FOLDER_LOCKED'], problems };
    return joined([refused, await platform.look(before), await platform.look(events)]);
  } finally {
    platform.signal('SIGCONT');
    await platform.end('SIGKILL');
  }
}

/** A file of the data directory is damaged. */
export async function embeddedDamaged(image: EmbeddedImage, damage: Damage, round: Round): Promise<Outcome> {
  const { folder, random, note } = round;
  const data = join(folder, 'data');
  const before = await image.copyTo(data, round);
  note(damage.happen(data, random));
  let platform: EmbeddedPlatform;
  try {
    platform = await EmbeddedPlatform.start(data);
  } catch (error) {
    if (!(error instanceof StartRefused)) throw error;
    note(error.output.slice(0, 300));
    if (isNamed(error.output)) return { ...NOTHING, accepted: before.accepted, refused: 1, codes: ['start'] };
    return { ...NOTHING, accepted: before.accepted, problems: [error.message] };
  }
  try {
    return await platform.look(before);
  } finally {
    await platform.end('SIGKILL');
  }
}

/** The disk fills up and has room again, without a restart; then the platform is killed. */
export async function embeddedFullDisk(image: EmbeddedImage, round: Round): Promise<Outcome> {
  const { folder, random, note } = round;
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  if (!mountDisk(disk, DISK_MIB)) return NOTHING;
  let platform: EmbeddedPlatform | undefined;
  try {
    const data = join(disk, 'data');
    const before = await image.copyTo(data, round);
    platform = await EmbeddedPlatform.start(data);
    const running = platform;
    const events = new CardEvents(`d${random.between(0, 1e9)}`, random);
    const ballast = fillDisk(disk);
    const sending = events.send(() => running.gateway);
    sending.catch(() => {});
    await sleep(random.between(300, 2_500));
    rmSync(ballast);
    note(`${events.accepted} events accepted before there was room again`);
    await sending;
    await events.send(() => running.gateway, 1 / 8);
    const first = await running.look(events);
    await running.end('SIGKILL');
    platform = await EmbeddedPlatform.start(data);
    return withoutRefusals(joined([first, await platform.look(before)]));
  } finally {
    await platform?.end('SIGKILL');
    unmountDisk(disk);
    if (existsSync(disk)) rmSync(disk, { recursive: true, force: true });
  }
}
