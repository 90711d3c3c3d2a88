import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, PlatformError } from '#kernel/errors';
import { FolderLockedError } from '#storage/errors';
import type { Component, OpenComponent } from './component.ts';
import type { Damage } from './damage.ts';
import { JobProcess } from './job_process.ts';
import { joined, NOTHING, type Outcome, verify } from './outcome.ts';
import type { Random } from './random.ts';

// Rounds on one component alone. Each is a function of its random numbers and a folder of its own, which exists and is empty.

export interface Round {
  readonly folder: string;
  readonly random: Random;
  /** Of the lane that runs it. */
  readonly images: Images;
  /** Tells what has been done, for the report of a failure. */
  note(text: string): void;
}

const started = (prefix: string) => (id: string) => id.startsWith(prefix);

function outcomeOfJob(job: JobProcess): Outcome {
  return { ...NOTHING, problems: job.unnamed.map((line) => `the process of the round: ${line}`) };
}

/** Killed with SIGKILL while it writes, one to three times; then everything is looked for. */
export async function killed(component: Component, { folder, random, note }: Round): Promise<Outcome> {
  const accepted: string[] = [];
  const outcomes: Outcome[] = [];
  for (let life = 0, lives = random.between(1, 2); life < lives; life += 1) {
    const job = new JobProcess(component, folder, `life${life}`, random.pick([0, 0, 3]));
    if (await job.opened()) await sleep(random.between(0, component.needsMib > 0 ? 1_500 : 250));
    await job.end('SIGKILL');
    accepted.push(...job.accepted);
    outcomes.push(outcomeOfJob(job));
    for (const line of job.refusals) outcomes.push({ ...NOTHING, problems: [`without any damage: ${line}`] });
  }
  note(`killed after ${accepted.length} ids`);
  return joined([...outcomes, withoutRefusals(await verify(component, folder, accepted, started('life')))]);
}

/** A start that is refused where no file was damaged is a fault of its own. */
export const withoutRefusals = (outcome: Outcome): Outcome =>
  outcome.refused === 0
    ? outcome
    : {
        ...outcome,
        problems: [...outcome.problems, `the start is refused without damage: ${outcome.codes.join(', ')}`],
      };

/** Stopped and continued, as a machine that pauses, or in turns of a few milliseconds, as one that is slow. */
export async function paused(component: Component, { folder, random, note }: Round): Promise<Outcome> {
  const job = new JobProcess(component, folder, 'paused');
  await job.opened();
  await sleep(random.between(0, 60));
  const isSlow = random.next() < 0.5;
  const turns = isSlow ? 15 : 1;
  const problems: string[] = [];
  for (let turn = 0; turn < turns; turn += 1) {
    job.signal('SIGSTOP');
    await sleep(isSlow ? random.between(2, 15) : random.between(100, 400));
    if (!isSlow && component.isExclusive) problems.push(...(await secondOwner(component, folder)));
    job.signal('SIGCONT');
    await sleep(isSlow ? 5 : random.between(20, 100));
  }
  await job.end(random.pick(['SIGKILL', 'SIGTERM']));
  note(`${isSlow ? 'slow' : 'paused'}, ${job.accepted.length} ids`);
  const verified = withoutRefusals(await verify(component, folder, job.accepted, started('paused')));
  return joined([outcomeOfJob(job), { ...NOTHING, problems }, verified]);
}

/** Tries to open a component that another process has. */
async function secondOwner(component: Component, folder: string): Promise<readonly string[]> {
  let open: OpenComponent;
  try {
    open = await component.open(folder);
  } catch (error) {
    return error instanceof FolderLockedError ? [] : [`a second owner got ${messageOf(error)}`];
  }
  await open.close();
  return ['a second owner opened the folder'];
}

/** Two processes on one folder: the second one is refused, or they take turns. */
export async function twoOwners(component: Component, { folder, random, note }: Round): Promise<Outcome> {
  const first = new JobProcess(component, folder, 'first');
  await first.opened();
  const second = new JobProcess(component, folder, 'second');
  const got = await second.opened();
  await sleep(random.between(50, 300));
  await Promise.all([second.end(got ? 'SIGTERM' : 'SIGKILL'), first.end(random.pick(['SIGKILL', 'SIGTERM']))]);
  note(`${first.accepted.length} and ${second.accepted.length} ids`);
  const locked = second.refusals.filter((line) => line.includes('STORAGE_FOLDER_LOCKED')).length;
  const problems: string[] = [];
  if (component.isExclusive && (got || locked !== 1))
    problems.push(`the second owner was not refused: ${second.refusals}`);
  const accepted = [...first.accepted, ...second.accepted];
  const verified = withoutRefusals(
    await verify(component, folder, accepted, (id) => id.startsWith('first') || id.startsWith('second')),
  );
  const refused = {
    ...NOTHING,
    refused: component.isExclusive ? locked : 0,
    codes: locked > 0 ? ['STORAGE_FOLDER_LOCKED'] : [],
  };
  return joined([outcomeOfJob(first), outcomeOfJob(second), { ...refused, problems }, verified]);
}

interface Image {
  readonly folder: string;
  readonly accepted: readonly string[];
  uses: number;
}

const IMAGE_USES = 12;

/** Folders as a process left them, by how it ended; made anew every {@link IMAGE_USES} rounds. */
export class Images {
  readonly #under: string;
  readonly #images = new Map<string, Image>();
  #made = 0;

  constructor(under: string) {
    this.#under = under;
  }

  async of(component: Component, end: 'SIGKILL' | 'SIGTERM', random: Random): Promise<Image> {
    const key = `${component.name} ${end}`;
    const known = this.#images.get(key);
    if (known !== undefined && known.uses < IMAGE_USES) {
      known.uses += 1;
      return known;
    }
    if (known !== undefined) rmSync(known.folder, { recursive: true, force: true });
    const folder = join(this.#under, `image-${this.#made++}`);
    mkdirSync(folder);
    const job = new JobProcess(component, folder, 'kept');
    await job.opened();
    await job.hasAccepted(component.batch * random.between(3, 12));
    await job.end(end);
    const image = { folder, accepted: job.accepted, uses: 1 };
    this.#images.set(key, image);
    return image;
  }
}

/** A file is damaged between two lives of the component. */
export async function damaged(
  component: Component,
  damage: Damage,
  { folder, random, images, note }: Round,
): Promise<Outcome> {
  const end = random.pick(['SIGKILL', 'SIGTERM'] as const);
  const image = await images.of(component, end, random);
  await cp(image.folder, folder, { recursive: true });
  note(`after ${end}, ${image.accepted.length} ids: ${damage.happen(folder, random)}`);
  const { accepted } = image;
  return verify(component, folder, accepted, started('kept'));
}

/** Mounts a small disk; only the administrator may. */
export function mountDisk(at: string, mib: number): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'headwater-chaos', at], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export function unmountDisk(at: string): void {
  execFileSync('umount', ['-l', at]);
}

/** Takes all the room there is on a disk. */
export function fillDisk(disk: string): string {
  const ballast = join(disk, '.ballast');
  for (let kibibytes = 4_096; kibibytes >= 1; kibibytes /= 2) {
    for (;;) {
      try {
        writeFileSync(ballast, Buffer.alloc(kibibytes * 1_024), { flag: 'a' });
      } catch {
        break;
      }
    }
  }
  return ballast;
}

const RECOVERS_WITHIN_MS = 60_000;

/** The disk fills up while a component writes, and has room again: without a restart it writes on. */
export async function fullDisk(component: Component, { folder, random, note }: Round): Promise<Outcome> {
  if (!mountDisk(folder, component.needsMib + random.between(1, 3))) return NOTHING;
  try {
    const open = await component.open(folder);
    const accepted: string[] = [];
    const problems: string[] = [];
    let next = 0;
    const write = async (): Promise<boolean> => {
      const ids = Array.from({ length: component.batch }, () => `disk-${next++}`);
      try {
        await open.write(ids);
        accepted.push(...ids);
        return true;
      } catch (error) {
        if (!(error instanceof PlatformError))
          problems.push(`on a full disk, an error without a name: ${messageOf(error)}`);
        return false;
      }
    };
    for (let at = 0; at < 5; at += 1) if (!(await write())) problems.push('refused although there is room');
    const ballast = fillDisk(folder);
    let refusals = 0;
    for (let at = 0; at < 40 && refusals < 4; at += 1) if (!(await write())) refusals += 1;
    rmSync(ballast);
    const giveUpAt = Date.now() + RECOVERS_WITHIN_MS;
    while (!(await write())) {
      if (Date.now() > giveUpAt) {
        problems.push(`nothing is written ${RECOVERS_WITHIN_MS} ms after there is room again`);
        break;
      }
      await sleep(20);
    }
    for (let at = 0; at < 5; at += 1) if (!(await write())) problems.push('refused again although there is room');
    note(`${refusals} refusals, ${accepted.length} ids accepted`);
    await open.close();
    return joined([
      { ...NOTHING, problems },
      withoutRefusals(await verify(component, folder, accepted, started('disk'))),
    ]);
  } finally {
    unmountDisk(folder);
  }
}

export const canMount = (under: string): boolean => {
  const probe = join(under, 'probe');
  mkdirSync(probe);
  const can = mountDisk(probe, 1);
  if (can) unmountDisk(probe);
  rmSync(probe, { recursive: true, force: true });
  return can && existsSync(under);
};
