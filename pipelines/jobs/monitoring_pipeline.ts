import type { Broker } from '#connectors/connector';
import { DeadLetterWriter, type LargeLetters } from '#connectors/dead_letters/dead_letter_writer';
import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import { Delivery } from '#connectors/delivery';
import { SECOND_MS } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import type { Registry } from '#monitoring/metrics';
import { type DoFn, outputTag, type ProcessContext } from '#pipelines/engine/dofn';
import { BrokerSource } from '#pipelines/io/broker_source';
import { createSourceMetrics } from '#pipelines/io/source_metrics';
import { combinePerKey } from '#pipelines/model/grouping';
import type { KV, PCollection, PipelineRoot } from '#pipelines/model/pcollection';
import { keyBy, parDo, parDoTagged, read, windowInto } from '#pipelines/model/transforms';
import { fixedWindows, globalWindows } from '#pipelines/model/windows/windowing';
import {
  CompareWithTraining,
  type DriftSettings,
  type ReferenceOf,
  type WindowOfVersion,
} from '#pipelines/transforms/drift/compare_with_training';
import { DriftMetrics } from '#pipelines/transforms/drift/drift_metrics';
import type { DriftStore } from '#pipelines/transforms/drift/drift_store';
import { JudgePredictions, type JudgeSettings } from '#pipelines/transforms/drift/judge_predictions';
import {
  decodePrediction,
  type MonitoredPrediction,
  type PredictionWindow,
  predictionWindowFn,
  type UnreadablePrediction,
} from '#pipelines/transforms/drift/prediction_window';
import { periodicImpulse } from '#pipelines/transforms/standard/periodic_impulse';
import { WriteDeadLetters } from '#pipelines/transforms/write_rows';
import { buildOnlineLearners, type OnlineLearners } from './online_learners.ts';

export interface MonitoringDeps {
  readonly broker: Broker;
  readonly drift: DriftStore;
  readonly referenceOf: ReferenceOf;
  readonly log: Logger;
  readonly registry: Registry;
  /** Where models learn from each outcome. */
  readonly online?: OnlineLearners | undefined;
}

export interface MonitoringSettings extends DriftSettings, JudgeSettings {
  readonly predictionsTopic: string;
  readonly deadLetterTopic: string;
  /** Where dead letters go that are too large for their topic. */
  readonly largeLetters?: LargeLetters;
  readonly group: string;
  /** How often a window that is still open is compared, and outcomes are looked at, ms. */
  readonly everyMs: number;
  readonly idleAfterMs: number;
  /** Ends when the topic has been read, for tests. */
  readonly bounded?: boolean;
}

/** Predictions are logged by several processes, a little apart. */
const OUT_OF_ORDER_MS = 10 * SECOND_MS;

/** Watches models at work: predictions of the log in windows against the training set of their version, and outcomes as they are reported. */
export function buildMonitoringPipeline(
  root: PipelineRoot,
  { broker, drift, referenceOf, log, registry, online }: MonitoringDeps,
  settings: MonitoringSettings,
): void {
  const delivery = new Delivery({ log, metrics: registry }, { target: 'drift reports' });
  const metrics = new DriftMetrics(registry);
  const deadLetters = new DeadLetterWriter(
    { producer: broker.producer, log, metrics: registry },
    { topic: settings.deadLetterTopic, large: settings.largeLetters },
  );
  const { predictionsTopic: topic, windowMs, everyMs, bounded } = settings;
  const source = new BrokerSource<MonitoredPrediction | UnreadablePrediction>(broker, {
    ...{ topics: [topic], group: settings.group, startAt: 'earliest', outOfOrderMs: OUT_OF_ORDER_MS },
    ...{ idleAfterMs: settings.idleAfterMs, decode: decodePrediction },
    metrics: createSourceMetrics(registry),
    ...(bounded === undefined ? {} : { bounded }),
  });
  const again = { kind: 'afterProcessingTime', delayMs: everyMs } as const;
  const split = root
    .apply(read(topic, source, 'ReadPredictions'))
    .apply(parDoTagged(new SplitUnreadable(), { dead: DEAD }, { name: 'Predictions' }));
  split.dead.apply(
    parDo(
      new WriteDeadLetters(
        { producer: broker.producer, log, metrics: registry },
        { topic: settings.deadLetterTopic, large: settings.largeLetters },
      ),
      { name: 'WriteDeadLetters' },
    ),
  );
  (split.main as PCollection<MonitoredPrediction>)
    .apply(
      windowInto(
        {
          windowFn: fixedWindows(windowMs / SECOND_MS),
          allowedLatenessMs: windowMs,
          accumulation: 'accumulating',
          trigger: { kind: 'afterEndOfWindow', early: again, late: again },
        },
        'Windows',
      ),
    )
    .apply(keyBy(({ model, version }) => `${model}|${version}`, 'ByVersion'))
    .apply(combinePerKey(predictionWindowFn, { name: 'Gather' }))
    .apply(parDo(new TellWindow(), { name: 'TellWindow' }))
    .apply(windowInto({ windowFn: globalWindows() }, 'AllOfTime'))
    .apply(
      parDo(new CompareWithTraining({ referenceOf, drift, delivery, metrics, deadLetters, log }, settings), {
        name: 'Compare',
      }),
    );
  if (online !== undefined) buildOnlineLearners(root, { delivery, registry, log }, online, { everyMs, bounded });
  if (bounded === true) return;
  root
    .apply(periodicImpulse({ name: 'EverySoOften', start: Date.now(), intervalMs: everyMs }))
    .apply(parDo(new JudgePredictions({ drift, referenceOf, delivery, registry, log }, settings), { name: 'Judge' }));
}

const DEAD = outputTag<DeadLetter>('dead');

/** Separates predictions from what is none. */
class SplitUnreadable implements DoFn<MonitoredPrediction | UnreadablePrediction, MonitoredPrediction> {
  process(element: MonitoredPrediction | UnreadablePrediction, context: ProcessContext<MonitoredPrediction>): void {
    if (!('reason' in element)) {
      context.output(element);
      return;
    }
    const timestamp = new Date(context.clock.now()).toISOString();
    context.outputTo(DEAD, { ...element, stage: 'monitor.decode', timestamp });
  }
}

/** Keeps which window and version it is of, where both are forgotten. */
class TellWindow implements DoFn<KV<string, PredictionWindow>, KV<string, WindowOfVersion>> {
  process(
    { key, value: window }: KV<string, PredictionWindow>,
    context: ProcessContext<KV<string, WindowOfVersion>>,
  ): void {
    const bar = key.lastIndexOf('|');
    const of = { model: key.slice(0, bar), version: Number(key.slice(bar + 1)) };
    context.output({ key, value: { ...of, windowStartMs: context.window.start, window } });
  }
}
