import Table from 'cli-table3';
import type { Broker } from '#connectors/connector';
import {
  DeadLetterQueue,
  type FiledLetter,
  type LetterFilter,
  placeOf,
  type ReplayCounts,
} from '#connectors/dead_letters/dead_letters';
import { createFileSystems } from '#connectors/files/file_systems';
import { LazyStores, replaySinks } from '../parts/replay_sinks.ts';
import { withBroker } from '../parts/with_broker.ts';
import { replayGroupOf } from '../project/namespace.ts';
import { loadProject, type Project } from '../project/project.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { timeOption } from '../terminal/options.ts';
import { JsonArray } from '../terminal/print.ts';
import { shutdownRequested } from '../terminal/shutdown.ts';

export interface DlqFilter {
  readonly stage?: string;
  readonly reason?: string;
  readonly since?: string;
}

const SHOWN_PAYLOAD = 60;

/** `headwater dlq list`: how many letters there are, by stage and reason, and the newest of them. */
export async function listDeadLetters(
  filter: DlqFilter & { readonly limit: number; readonly json: boolean },
): Promise<void> {
  await withQueue(async (queue) => {
    if (filter.json) {
      const array = new JsonArray();
      for await (const filed of queue.list(filterOf(filter))) array.add(asJson(filed));
      array.end();
      return;
    }
    const { total, groups, newest } = await queue.summarise(filterOf(filter), filter.limit);
    process.stdout.write(`${total} dead letters\n`);
    if (total === 0) return;
    const byReason = table(['stage', 'reason', 'letters', 'newest']);
    for (const { stage, reason, count, newest: at } of groups) {
      byReason.push([stage === '' ? '(no dead letter)' : stage, cut(reason, 80), count, at]);
    }
    const last = table(['where', 'time', 'stage', 'payload']);
    for (const filed of newest) {
      const { letter, raw } = filed;
      last.push([
        placeOf(filed),
        letter?.timestamp ?? '',
        letter?.stage ?? '',
        cut(letter?.payload ?? raw, SHOWN_PAYLOAD),
      ]);
    }
    process.stdout.write(`${byReason.toString()}\nthe newest ${newest.length}:\n${last.toString()}\n`);
  });
}

/** `headwater dlq show PARTITION/OFFSET`: one letter, whole. */
export async function showDeadLetter(place: string): Promise<void> {
  await withQueue(async (queue) => {
    for await (const filed of queue.list()) {
      if (placeOf(filed) !== place) continue;
      process.stdout.write(`${JSON.stringify(asJson(filed), undefined, 2)}\n`);
      return;
    }
    throw new CommandFailedError(`there is no dead letter at ${place}: "headwater dlq list" says where they are`);
  });
}

/** `headwater dlq replay`: letters go where they came from again, those of sinks to their sink. */
export async function replayDeadLetters(
  filter: DlqFilter & { readonly dryRun: boolean; readonly maxAttempts: number },
): Promise<void> {
  await withQueue(async (queue, config, broker) => {
    const { topics } = config;
    const controller = new AbortController();
    void shutdownRequested().then(() => controller.abort());
    const say = ({ replayed, passed, exhausted, unusable }: ReplayCounts): string =>
      `${replayed} ${filter.dryRun ? 'would be replayed' : 'replayed'}, ${passed} passed over, ${exhausted} refused ${filter.maxAttempts} times or more, ${unusable} cannot be replayed`;
    const stores = new LazyStores(config);
    const { online, offline } = stores;
    const targets = {
      ...{ online, offline, broker, featureEventsTopic: topics.featureEvents },
      predictions: { topic: topics.predictions, format: config.serving.predictionFormat },
    };
    const replaying = queue.replay(topics.rawEvents, {
      filter: filterOf(filter),
      dryRun: filter.dryRun,
      maxAttempts: filter.maxAttempts,
      sinks: replaySinks(targets),
      signal: controller.signal,
      onProgress(soFar) {
        if (process.stderr.isTTY) process.stderr.write(`\r${say(soFar)}`);
      },
    });
    const counts = await replaying.finally(() => stores.close());
    if (process.stderr.isTTY) process.stderr.write('\n');
    process.stdout.write(`${say(counts)}\n`);
  });
}

async function withQueue(
  work: (queue: DeadLetterQueue, config: Project, broker: Broker) => Promise<void>,
): Promise<void> {
  await withBroker(await loadProject(), (broker, config) =>
    work(
      new DeadLetterQueue(broker, config.topics.deadLetters, {
        group: replayGroupOf(config),
        fileSystems: createFileSystems(),
      }),
      config,
      broker,
    ),
  );
}

function filterOf({ stage, reason, since }: DlqFilter): LetterFilter {
  return { stage, reason, sinceMs: timeOption('--since', since) };
}

const asJson = (filed: FiledLetter) => ({ where: placeOf(filed), ...(filed.letter ?? { raw: filed.raw }) });
const table = (head: string[]) => new Table({ head, style: { head: [], border: [] } });
const cut = (text: string, length: number): string => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
