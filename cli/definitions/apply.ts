import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApplyLock, ApplyOwner } from '#feature_store/definition_store/applied_definitions';
import type { Catalog } from '#feature_store/definitions/catalog';
import { describeView } from '#feature_store/definitions/feature_view';
import { definitionSet } from '#feature_store/definitions/sets/definition_set';
import { messageOf } from '#kernel/errors';
import { isRunning, thisProcess } from '#storage/process_identity';
import { type BackfillResult, describeHandOver, runBackfill } from '../history/backfill.ts';
import { RunningPlatform } from '../parts/control_client.ts';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { withOffline } from '../parts/with_offline.ts';
import { recordsOf } from '../project/definition_records.ts';
import { loadProject, type Project } from '../project/project.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print } from '../terminal/print.ts';
import { createProgress, type Progress } from '../terminal/progress.ts';
import { shutdownRequested } from '../terminal/shutdown.ts';
import { ApplyFailedError, ApplyRunsError, ApplyTakenOverError } from './definition_errors.ts';
import { describePlan, describeTarget } from './plan.ts';
import { hasWork, makePlan, type Plan, type PlannedBackfill, type PlanOptions } from './plan_contents.ts';

export interface ApplyCommand extends PlanOptions {
  /** Applies breaking changes too, without a question. */
  readonly yes: boolean;
  /** Continues an apply of another machine that was interrupted. */
  readonly takeOver: boolean;
  /** The stream takes state over also where the archive lacks events that it may have counted. */
  readonly acceptGaps: boolean;
  readonly json: boolean;
}

const HEARTBEAT_MS = 5_000;
/** An apply of another machine that has not written for so long was interrupted. */
const GONE_AFTER_MS = 60_000;

/**
 * `headwater apply`: records the definitions of the code, and computes the history that changes need. A back-fill that is complete is recorded at once, so that an apply that was
 * killed is resumed by the next one: in the back-fill that it was in, at the last snapshot.
 */
export async function apply({ yes, takeOver, acceptGaps, json, ...options }: ApplyCommand): Promise<void> {
  const config = await loadProject();
  const progress = createProgress(process.stderr);
  const owner: ApplyOwner = { ...thisProcess(), id: randomUUID() };
  const plan = await withOffline(config, (offline) => makePlan(offline, config, options));
  if (!json) for (const line of describePlan(plan)) progress.say(line);
  if (!hasWork(plan)) {
    finish(json, []);
    return;
  }
  if (plan.apply !== undefined && !takeOver && !isInterrupted(plan.apply)) throw new ApplyRunsError(plan.apply.owner);
  if (plan.breaking && !yes && !(await isConfirmed())) {
    throw new CommandFailedError('nothing was applied: there are breaking changes, and --yes was not given');
  }
  await withOffline(config, (offline) => begin(offline, config.catalog, owner, plan.apply?.owner.id));
  const stop = new AbortController();
  void shutdownRequested().then(() => stop.abort());
  const done: AppliedBackfill[] = [];
  try {
    const possible = plan.backfills.filter((backfill) => backfill.possible);
    for (const [index, backfill] of possible.entries()) {
      const of = `${index + 1} of ${possible.length}`;
      done.push(
        await whileHeld(config, owner, () => compute(backfill, config, { of, acceptGaps }, progress, stop.signal)),
      );
    }
    await withOffline(config, (offline) => end(offline, config.catalog, owner, plan));
  } catch (error) {
    // What is interrupted is resumed by the next apply; the lock of a process that ends orderly does not stay.
    if (!(error instanceof ApplyTakenOverError))
      await withOffline(config, (offline) => offline.definitions.unlockApply(owner.id)).catch(() => {});
    throw error;
  }
  finish(json, done);
}

/** A back-fill that an apply has done. */
interface AppliedBackfill {
  readonly views: readonly string[];
  readonly counts: BackfillResult['counts'];
  readonly state: string;
}

function finish(json: boolean, backfills: readonly AppliedBackfill[]): void {
  if (json) print(JSON.stringify({ applied: true, backfills }));
  else {
    for (const { views, counts, state } of backfills) print(`${views.join(', ')}: ${counts.events} events; ${state}`);
    print('applied');
  }
}

/** Takes the lock, and records what rows are written with from now on. */
async function begin(
  offline: OfflineDatabase,
  catalog: Catalog,
  owner: ApplyOwner,
  replaces: string | undefined,
): Promise<void> {
  if (!(await offline.definitions.lockApply(owner, replaces))) {
    throw new ApplyRunsError((await offline.definitions.readApplyLock())?.owner);
  }
  await offline.definitions.recordDefinitions(recordsOf(definitionSet(catalog)), 'have_history');
  for (const view of catalog.views) await offline.definitions.writeView(describeView(view));
}

async function end(offline: OfflineDatabase, catalog: Catalog, owner: ApplyOwner, { changes }: Plan): Promise<void> {
  if (!(await offline.definitions.holdApplyLock(owner.id))) throw new ApplyTakenOverError();
  await offline.definitions.recordApplied(recordsOf(definitionSet(catalog)));
  await offline.definitions.removeDefinitions(changes.filter(({ change }) => change === 'removed'));
  await offline.definitions.unlockApply(owner.id);
}

async function compute(
  { views, features, source, in: patterns, estimated_events: total }: PlannedBackfill,
  project: Project,
  { of, acceptGaps }: { readonly of: string; readonly acceptGaps: boolean },
  progress: Progress,
  signal: AbortSignal,
): Promise<AppliedBackfill> {
  const task = progress.begin(`back-fill ${of}: ${describeTarget({ views, features })} from ${source}`, total);
  const result = await runBackfill(
    {
      ...{ views, signal, acceptGaps },
      ...(patterns === undefined ? {} : { in: patterns }),
      ...(features === undefined ? {} : { features }),
    },
    ({ rows, from, resumedAfter }) =>
      task.update(rows, resumedAfter === 0 ? from : `${from}, resumed after ${resumedAfter}`),
  );
  const { counts, seconds, problem } = result;
  if (problem !== undefined) throw new ApplyFailedError(views, problem);
  task.finish(`${counts.events} events`);
  await withOffline(project, async (offline) => {
    const ids = new Set(views);
    await offline.definitions.recordApplied(
      recordsOf(definitionSet(project.catalog)).filter(({ kind, id }) => kind === 'view' && ids.has(id)),
    );
    const read = counts.events - counts.resumed_after;
    if (read > 0 && seconds > 0) await offline.definitions.recordBackfill(read, seconds);
  });
  const { handedOver } = result;
  const state =
    handedOver === undefined
      ? 'the stream takes no state over: there is no archive of raw events, and its windows hold what comes from now on'
      : describeHandOver(handedOver);
  return { views, counts, state };
}

/** Keeps the lock while `work` runs. In embedded mode without a platform, the folder of the offline store has one process at a time: its lock is enough. */
async function whileHeld<T>(config: Project, owner: ApplyOwner, work: () => Promise<T>): Promise<T> {
  const isShared =
    config.offlineStore.kind !== 'pglite' || (await RunningPlatform.find(config, 'offline')) !== undefined;
  if (!isShared) return work();
  const ended = new AbortController();
  const lost = withOffline(config, async (offline) => {
    while (!ended.signal.aborted) {
      const isHeld = await offline.definitions.holdApplyLock(owner.id).catch((error: unknown) => {
        process.stderr.write(`the lock of the apply could not be kept: ${messageOf(error)}\n`);
        return true;
      });
      if (!isHeld) throw new ApplyTakenOverError();
      await sleep(HEARTBEAT_MS, undefined, { signal: ended.signal }).catch(() => {});
    }
  });
  // Ends the work only when the lock is lost.
  const heartbeat = lost.then(() => new Promise<never>(() => {}));
  try {
    return await Promise.race([work(), heartbeat]);
  } finally {
    ended.abort();
    await lost.catch(() => {});
  }
}

/** Returns whether the process of an apply has ended: known on this machine; of another one, after a time without a sign of it. */
function isInterrupted({ owner, idleMs }: ApplyLock): boolean {
  const runs = isRunning(owner);
  return runs === undefined ? idleMs > GONE_AFTER_MS : !runs;
}

async function isConfirmed(): Promise<boolean> {
  if (!process.stdin.isTTY) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question('Apply breaking changes? Only "yes" does: ')).trim() === 'yes';
  } finally {
    terminal.close();
  }
}
