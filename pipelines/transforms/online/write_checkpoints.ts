import type { Delivery } from '#connectors/delivery';
import type { Logger } from '#monitoring/log';
import { type Counter, counterOf, type Gauge, gaugeOf, type Registry } from '#monitoring/metrics';
import type { DoFn } from '#pipelines/engine/dofn';
import type { KV } from '#pipelines/model/pcollection';
import type { CheckpointStore, OnlineModel } from './checkpoint_store.ts';
import type { OnlineCheckpoint } from './online_learner.ts';

export interface CheckpointDeps {
  readonly checkpoints: Pick<CheckpointStore, 'write'>;
  readonly delivery: Delivery;
  readonly registry: Registry;
  readonly log: Logger;
}

/** Writes checkpoints of a model's learner, and shows how it does. */
export class WriteCheckpoints implements DoFn<KV<string, OnlineCheckpoint>, never> {
  readonly #deps: CheckpointDeps;
  readonly #of: OnlineModel;
  readonly #metrics: OnlineMetrics;
  #batch: OnlineCheckpoint[] = [];

  constructor(deps: CheckpointDeps, of: OnlineModel, metrics: OnlineMetrics) {
    this.#deps = deps;
    this.#of = of;
    this.#metrics = metrics;
  }

  startBundle(): void {
    this.#batch = [];
  }

  process({ value }: KV<string, OnlineCheckpoint>): void {
    this.#batch.push(value);
  }

  async finishBundle(): Promise<void> {
    if (this.#batch.length === 0) return;
    const { checkpoints, delivery, log } = this.#deps;
    const { model } = this.#of;
    const batch = this.#batch.map((checkpoint) => ({ ...this.#of, ...checkpoint }));
    await delivery.run(() => checkpoints.write(batch));
    for (const { examples, loss, wentBackTo } of batch) {
      this.#metrics.loss.set({ model }, loss);
      this.#metrics.checkpoints.inc({ model, outcome: wentBackTo === null ? 'kept' : 'went_back' });
      if (wentBackTo === null) continue;
      log.warn({ component: 'monitor', model, examples, wentBackTo, loss }, 'online_learner.went_back');
    }
  }
}

/** Metrics of all learners of a process. */
export class OnlineMetrics {
  readonly loss: Gauge<'model'>;
  readonly checkpoints: Counter<'model' | 'outcome'>;

  constructor(registry: Registry) {
    this.loss = gaugeOf(registry, {
      name: 'online_learner_loss',
      help: 'Mean logistic loss of the newest examples of an online learner, each before it was learned, in nats',
      labelNames: ['model'],
    });
    this.checkpoints = counterOf(registry, {
      name: 'online_learner_checkpoints_total',
      help: 'Checkpoints of an online learner: kept; went_back to an older one that labels have not spoilt',
      labelNames: ['model', 'outcome'],
    });
  }
}
