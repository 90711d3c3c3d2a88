import { setTimeout as sleep } from 'node:timers/promises';
import type { Broker, Position } from '#connectors/connector';
import type { Logger } from '#monitoring/log';
import { type ArchiveList, readList } from '#pipelines/archive/archive_list';
import type { ArchivePosition } from '#pipelines/archive/archive_reader';
import { ArchiveIncompleteError } from '#pipelines/archive/errors';
import type { EventArchive } from '#pipelines/archive/event_archive';
import type { BrokerRestriction } from '#pipelines/io/broker_source';
import type { Construct } from '#pipelines/model/graph';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { SnapshotStore } from '#pipelines/runner/snapshot_store';
import { type MergeCells, takeOverState } from '#pipelines/runner/take_over';

export interface HandOverDeps {
  readonly broker: Broker;
  readonly archive: EventArchive;
  readonly log: Logger;
  /** Drains the stream's job, gives its snapshots' folder to `work`, and starts it again, whatever comes of it. */
  readonly pause: <T>(work: (snapshotDirectory: string) => Promise<T>) => Promise<T>;
}

export interface HandOverRequest {
  readonly topic: string;
  /** Ids of the views whose state is taken over. */
  readonly views: readonly string[];
  /** By id, of views of which some features alone are taken over: how. */
  readonly merges?: ReadonlyMap<string, MergeCells>;
  /** Names events that the views need and the archive lacks. */
  readonly missing?: (list: ArchiveList) => string | undefined;
  /** Called when the back-fill has written all its rows, and the stream does not write: makes history what the back-fill has computed. */
  readonly settle?: (list: ArchiveList) => Promise<void>;
  /** Snapshots of the back-fill, which has ended. */
  readonly directory: string;
  /** The back-fill's pipeline, reading the archive up to these events. */
  readonly construct: (until: ArchivePosition, onCaughtUp: () => void) => Construct;
}

export interface HandedOver {
  /** Entities whose state was taken over, counted once a view. */
  readonly entities: number;
  /** The last event of each partition that the state covers. */
  readonly position: ArchivePosition;
}

const CATCH_UP_MS = 60_000;
const POLL = { maxRecords: 1, maxWaitMs: 500 };

/**
 * Hands a back-fill's state over to the stream (docs/adr/0021). The stream is drained at a position of each partition; the back-fill reads the archive on to exactly there;
 * its state replaces that of the views in the stream's newest snapshot, and the stream resumes from that. So each event counts once: those up to the position in the
 * back-fill, those after it in the stream. Whatever fails before the snapshot is in its place leaves the stream as it was.
 */
export function handOver(deps: HandOverDeps, request: HandOverRequest): Promise<HandedOver> {
  return deps.pause(async (snapshotDirectory) => {
    const { archive, log } = deps;
    await archive.catchUp(CATCH_UP_MS);
    const { construct, directory, views, merges = new Map(), missing, settle } = request;
    const list = await readList(archive.place);
    const problem = list === undefined ? undefined : missing?.(list);
    if (problem !== undefined) throw new ArchiveIncompleteError(problem);
    const position = await positionOf(deps, request.topic, snapshotDirectory);
    const transformOf = (id: string): string => `Compute ${id}`;
    await runToEnd(construct, position, directory, log);
    if (list !== undefined) await settle?.(list);
    const entities = await takeOverState(
      { into: snapshotDirectory, from: directory },
      views.map(transformOf),
      log,
      // What changes without events is written again: rows of before may lack events that the stream alone had seen.
      { eventTimer: 'wake', processingTimer: 'quiet' },
      new Map([...merges].map(([id, merge]) => [transformOf(id), merge])),
    );
    log.info({ views, entities, position }, 'state.handed_over');
    return { entities, position };
  });
}

async function runToEnd(
  construct: HandOverRequest['construct'],
  position: ArchivePosition,
  directory: string,
  log: Logger,
): Promise<void> {
  let drained: Promise<void> | undefined;
  const plan = createPipeline(
    construct(position, () => {
      drained ??= job.stop();
    }),
  );
  const job = runEmbedded(plan, { log, snapshots: { directory, intervalMs: 2_000 } });
  await job.finished;
  await drained;
}

/** The last event of each partition that a stream's newest snapshot covers. */
async function positionOf(
  { archive, broker, log }: HandOverDeps,
  topic: string,
  snapshotDirectory: string,
): Promise<ArchivePosition> {
  const snapshot = await new SnapshotStore(snapshotDirectory, log).load();
  const list = await readList(archive.place);
  const found: Record<string, ArchivePosition[string]> = {};
  const tasks = (snapshot?.transforms ?? []).flatMap(({ head }) => (Array.isArray(head) ? head : []));
  for (const { restriction } of tasks as readonly { readonly restriction: BrokerRestriction }[]) {
    if (restriction?.kind !== 'partition' || restriction.topic !== topic) continue;
    const { partition, position } = restriction;
    const archived = list?.partitions[partition];
    if (archived === undefined) continue;
    const next = await firstAfter(broker, topic, partition, position);
    const offset = next === undefined ? archived.last : String(next - 1n);
    found[partition] = { generation: archived.generation, offset };
  }
  if (Object.keys(found).length === 0) {
    throw new ArchiveIncompleteError(`the stream's snapshot has no position in topic ${topic} that the archive covers`);
  }
  return found;
}

/** The offset of the first record after a position; undefined when there is none. */
async function firstAfter(
  broker: Broker,
  topic: string,
  partition: string,
  position: Position | undefined,
): Promise<bigint | undefined> {
  const from = position === undefined ? ({ startAt: 'earliest' } as const) : { resumeAfter: position };
  const reader = await broker.openPartition(topic, partition, from);
  const signal = new AbortController().signal;
  try {
    for (;;) {
      const [record] = await reader.poll({ ...POLL, signal });
      if (record !== undefined) return record.offset;
      if (reader.lagRecords() === 0n) return undefined;
      await sleep(POLL.maxWaitMs);
    }
  } finally {
    await reader.close();
  }
}
