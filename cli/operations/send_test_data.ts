import { readFile } from 'node:fs/promises';
import { DeadLetterWriter } from '#connectors/dead_letter_writer';
import { EventIntake } from '#connectors/gateway/event_intake';
import { createEventValidator } from '#connectors/gateway/event_validator';
import { splitBatch } from '#connectors/gateway/split_batch';
import { generateTransactions } from '#examples/fraud/transaction_generator';
import { transactions } from '#feature_store/views/transactions';
import { HOUR_MS, systemClock } from '#kernel/time';
import { createLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { largeLetters } from '../parts/large_letters.ts';
import { withBroker } from '../parts/with_broker.ts';
import { loadPlatformConfig } from '../project/platform_config.ts';
import type { TARGETS } from '../terminal/choices.ts';
import { createProgress } from '../terminal/progress.ts';
import { UsageError } from '../terminal/usage_error.ts';

export interface TestDataOptions {
  readonly inputFile?: string;
  readonly to?: (typeof TARGETS)[number];
  readonly events: number;
  readonly seed: number;
}

const AT_ONCE = 500;
const ACCOUNTS = 200;

/**
 * `headwater send-test-data`: events into the raw-events topic of whichever broker, checked and enriched as the gateway does, so that one
 * pipeline makes the same of them wherever they went.
 */
export async function sendTestData({ inputFile, to, events, seed }: TestDataOptions): Promise<void> {
  const texts = inputFile === undefined ? generated(events, seed) : await readEvents(inputFile);
  const config = loadPlatformConfig(to === undefined ? process.env : { ...process.env, INGEST_SINK: to });
  await withBroker(config, async (broker, { topics, gateway, pipeline }) => {
    const base = {
      producer: broker.producer,
      log: createLogger({ level: config.log.level }),
      metrics: createMetricsRegistry({ process: false }),
    };
    const letters = { topic: topics.deadLetters, large: largeLetters(config) };
    const intake = new EventIntake(
      {
        ...base,
        deadLetters: new DeadLetterWriter(base, letters),
        validate: createEventValidator([transactions], {
          unknownTypes: gateway.unknownEventTypes,
          allowedLatenessMs: pipeline.allowedLatenessMs,
        }),
        clock: systemClock,
      },
      topics,
      { ...gateway, rememberedIds: texts.length + 1 },
    );
    const task = createProgress().begin(`send test data to ${broker.name}`, texts.length);
    const counts = { accepted: 0, duplicate: 0, rejected: 0, failed: 0 };
    let firstFailure: string | undefined;
    for (let from = 0; from < texts.length; from += AT_ONCE) {
      for (const result of await intake.takeAll(texts.slice(from, from + AT_ONCE))) {
        counts[result.status] += 1;
        if ('reason' in result) firstFailure ??= result.reason;
      }
      task.update(Math.min(texts.length, from + AT_ONCE));
    }
    task.finish(firstFailure === undefined ? undefined : `the first that was not taken: ${firstFailure}`);
    process.stdout.write(`${JSON.stringify({ topic: topics.rawEvents, broker: broker.kind, ...counts })}\n`);
    if (counts.failed > 0) process.exitCode = 1;
  });
}

const generated = (events: number, seed: number): readonly string[] =>
  generateTransactions({
    seed,
    events,
    accounts: ACCOUNTS,
    days: 2,
    endMs: Math.floor(Date.now() / HOUR_MS) * HOUR_MS,
  }).map(({ body }) => body);

/** A JSON array of events, or one event a line. */
async function readEvents(path: string): Promise<readonly (Buffer | string)[]> {
  const file = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`--input-file ${path} cannot be read: ${error.message}`);
  });
  const events = await splitBatch(file, Number.POSITIVE_INFINITY);
  if (events.length === 1 && events[0] === file)
    throw new UsageError(`--input-file ${path} begins as a JSON array and is none`);
  return events;
}
