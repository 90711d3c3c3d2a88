import type { Logger } from '#monitoring/log';
import type { DoFn, ProcessContext } from '#pipelines/engine/dofn';
import type { KV, PCollection, PipelineRoot } from '#pipelines/model/pcollection';
import { keyedCoder, parDo, read } from '#pipelines/model/transforms';
import type { CheckpointStore, OnlineModel, Outcome } from '#pipelines/transforms/online/checkpoint_store';
import { type LearnOnlineSettings, learnOnline, type RefusedExample } from '#pipelines/transforms/online/learn_online';
import type { LabelledExample } from '#pipelines/transforms/online/online_learner';
import { OutcomeSource, type OutcomeSourceSettings } from '#pipelines/transforms/online/outcome_source';
import { type CheckpointDeps, OnlineMetrics, WriteCheckpoints } from '#pipelines/transforms/online/write_checkpoints';

/** A model that learns from each outcome. */
export interface OnlineModelSettings extends OnlineModel, LearnOnlineSettings {
  /** Labels of feedback that stand for 0 and 1; others are passed over. */
  readonly classes: readonly [string, string];
}

export interface OnlineLearners {
  readonly checkpoints: CheckpointStore;
  readonly models: readonly OnlineModelSettings[];
  readonly settleMs: OutcomeSourceSettings['settleMs'];
}

/** Learns from the outcomes of models' predictions as they are received: a branch of the pipeline for each model, whose learner is of its feature service. */
export function buildOnlineLearners(
  root: PipelineRoot,
  given: Omit<CheckpointDeps, 'checkpoints'>,
  { checkpoints: store, models, settleMs }: OnlineLearners,
  source: Omit<OutcomeSourceSettings, 'settleMs'>,
): void {
  if (models.length === 0) return;
  const deps = { ...given, checkpoints: store };
  const metrics = new OnlineMetrics(deps.registry);
  for (const { model, service, classes, ...settings } of models) {
    const examples = root
      .apply(read(model, new OutcomeSource(store, { ...source, settleMs }), `Outcomes of ${model}`))
      .apply(
        parDo(new ToExample(service, classes), { name: `Examples of ${model}`, coder: keyedCoder() }),
      ) as PCollection<KV<string, LabelledExample>>;
    const { checkpoints, refused } = learnOnline(examples, { ...settings, name: `Learn ${model}` });
    checkpoints.apply(
      parDo(new WriteCheckpoints(deps, { model, service }, metrics), { name: `Write checkpoints of ${model}` }),
    );
    refused.apply(parDo(new LogRefused(deps.log, model), { name: `Refused examples of ${model}` }));
  }
}

/** Makes examples of outcomes whose label is one of the classes. */
class ToExample implements DoFn<Outcome, KV<string, LabelledExample>> {
  readonly #service: string;
  readonly #classes: readonly string[];

  constructor(service: string, classes: readonly string[]) {
    this.#service = service;
    this.#classes = classes;
  }

  process(
    { id, features, label: name, predictedAtMs }: Outcome,
    context: ProcessContext<KV<string, LabelledExample>>,
  ): void {
    const label = name === null ? -1 : this.#classes.indexOf(name);
    if (label < 0) return;
    context.output({ key: this.#service, value: { id, features, label, predictedAtMs } });
  }
}

class LogRefused implements DoFn<KV<string, RefusedExample>, never> {
  readonly #log: Logger;
  readonly #model: string;

  constructor(log: Logger, model: string) {
    this.#log = log.child({ component: 'monitor' });
    this.#model = model;
  }

  process({ value: { id, field, problem } }: KV<string, RefusedExample>): void {
    this.#log.warn({ model: this.#model, example: id, field, problem }, 'online_learner.example_refused');
  }
}
