import { readFile } from 'node:fs/promises';
import { environment } from '#configs/environment';
import { DeadLetterWriter } from '#connectors/dead_letters/dead_letter_writer';
import { EventIntake } from '#connectors/gateway/event_intake';
import { createEventValidator } from '#connectors/gateway/events/event_validator';
import { splitBatch } from '#connectors/gateway/split_batch';
import type { Catalog } from '#feature_store/definitions/catalog';
import { sampleEvents } from '#feature_store/testing/sample_events';
import { knownNames } from '#kernel/known_names';
import { DAY_MS, HOUR_MS, systemClock } from '#kernel/time';
import { createLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { largeLetters } from '../parts/large_letters.ts';
import { withBroker } from '../parts/with_broker.ts';
import { loadProject } from '../project/project.ts';
import type { TARGETS } from '../terminal/choices.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { createProgress } from '../terminal/progress.ts';

export interface TestDataOptions {
  readonly inputFile?: string;
  readonly to?: (typeof TARGETS)[number];
  readonly events: number;
  readonly seed: number;
  /** Only of these sources. */
  readonly source?: readonly string[] | undefined;
}

const AT_ONCE = 500;

/**
 * `headwater events send`: events into the raw-events topic of whichever broker, checked and enriched as the gateway does, so that one
 * pipeline makes the same of them wherever they went.
 */
export async function sendTestData({ inputFile, to, events, seed, source }: TestDataOptions): Promise<void> {
  const config = await loadProject(to === undefined ? environment() : { ...environment(), INGEST_SINK: to });
  const bodies =
    inputFile === undefined ? generated(config.catalog, { events, seed, source }) : await readEvents(inputFile);
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
        validate: createEventValidator(config.catalog.sources, {
          unknownTypes: gateway.unknownEventTypes,
          allowedLatenessMs: pipeline.allowedLatenessMs,
        }),
        clock: systemClock,
      },
      topics,
      { ...gateway, rememberedIds: bodies.length + 1 },
    );
    const task = createProgress().begin(`send test data to ${broker.name}`, bodies.length);
    const counts = { accepted: 0, duplicate: 0, rejected: 0, failed: 0 };
    let firstFailure: string | undefined;
    for (let from = 0; from < bodies.length; from += AT_ONCE) {
      for (const result of await intake.takeAll(bodies.slice(from, from + AT_ONCE))) {
        counts[result.status] += 1;
        if ('reason' in result) firstFailure ??= result.reason;
      }
      task.update(Math.min(bodies.length, from + AT_ONCE));
    }
    task.finish(firstFailure === undefined ? undefined : `the first that was not taken: ${firstFailure}`);
    process.stdout.write(`${JSON.stringify({ topic: topics.rawEvents, broker: broker.kind, ...counts })}\n`);
    if (counts.failed > 0) process.exitCode = 1;
  });
}

/**
 * Makes events of the sources that are named; otherwise of those that say how, or, where none does, of all.
 *
 * @throws {@link CommandFailedError} for a source that is not defined
 */
function generated(
  { sources, views }: Pick<Catalog, 'sources' | 'views'>,
  { events, seed, source: names }: Pick<TestDataOptions, 'events' | 'seed' | 'source'>,
): readonly string[] {
  for (const name of names ?? []) {
    if (sources.some((source) => source.name === name)) continue;
    const known = sources.map((source) => source.name);
    throw new CommandFailedError(`there is no source "${name}"; ${knownNames(name, known)}`);
  }
  const declaring = sources.filter(({ testEvents }) => testEvents !== undefined);
  const chosen =
    names === undefined
      ? declaring.length > 0
        ? declaring
        : sources
      : sources.filter(({ name }) => names.includes(name));
  if (chosen.length === 0) throw new CommandFailedError('the project has no source whose events could be sent');
  const endMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
  return chosen.flatMap((source, nth) => {
    const count = Math.floor(events / chosen.length) + (nth < events % chosen.length ? 1 : 0);
    const joinKeys = views.filter((view) => view.sources.includes(source)).flatMap(({ entity }) => entity.joinKeys);
    const made =
      source.testEvents?.({ events: count, seed, endMs }) ??
      sampleEvents(source, joinKeys, { events: count, seed, endMs, spanMs: 2 * DAY_MS });
    return [...made].map((event) => (typeof event === 'string' ? event : JSON.stringify(event)));
  });
}

/** A JSON array of events, or one event a line. */
async function readEvents(path: string): Promise<readonly (Buffer | string)[]> {
  const file = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new CommandFailedError(`--input-file ${path} cannot be read: ${error.message}`);
  });
  const events = await splitBatch(file, Number.POSITIVE_INFINITY);
  if (events.length === 1 && events[0] === file)
    throw new CommandFailedError(`--input-file ${path} begins as a JSON array and is none`);
  return events;
}
