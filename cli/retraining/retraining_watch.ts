import { setTimeout as delay } from 'node:timers/promises';
import type { Service } from '#kernel/lifecycle';
import type { Clock } from '#kernel/time';
import { durationMs } from '#kernel/times/duration';
import type { Logger } from '#monitoring/log';
import { Counter, Gauge, type Registry } from '#monitoring/metrics';
import type { ModelRegistry } from '#registry/model_registry';
import type { WorkflowCatalog } from '#workflows/catalog/workflow_catalog';
import { RunRefusedError } from '#workflows/errors';
import { rfc3339 } from '#workflows/schedules/schedule';
import type { WorkflowStore } from '#workflows/store/workflow_store';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { type Retraining, retrainingWorkflowName } from '../project/config/retraining_config.ts';
import type { Project } from '../project/project.ts';
import { FirstScores, readFacts } from './facts.ts';
import type { Trigger } from './retraining_run.ts';
import { type RetrainingFacts, triggerOf } from './triggers.ts';

export interface RetrainingWatchDeps {
  readonly offline: Pick<OfflineDatabase, 'drift' | 'sql'>;
  readonly workflows: Pick<WorkflowStore, 'startRun'>;
  readonly registry: ModelRegistry;
  readonly catalog: WorkflowCatalog;
  readonly project: Pick<Project, 'training' | 'promotion' | 'monitor' | 'retraining'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Registry;
}

/** Looks at the triggers of models with retraining, and starts their workflows. Any number of processes may look: the workflow's settings allow one run. */
export class RetrainingWatch implements Service {
  readonly name = 'triggers of retraining';
  readonly #deps: RetrainingWatchDeps;
  readonly #log: Logger;
  readonly #triggers: Counter<'model' | 'trigger' | 'outcome'>;
  readonly #estimated: Gauge<'model' | 'version' | 'metric'>;
  readonly #firstScores = new FirstScores();
  #stopping = new AbortController();
  #loops: Promise<unknown> = Promise.resolve();

  constructor(deps: RetrainingWatchDeps) {
    this.#deps = deps;
    this.#log = deps.log.child({ component: 'retraining.watch' });
    const registers = [deps.metrics];
    this.#triggers = new Counter({
      name: 'retraining_triggers_total',
      help: 'Checks at which a trigger called for training a model again: started, refused (a run is active, cool-down, runs a week), or too few labels',
      labelNames: ['model', 'trigger', 'outcome'],
      registers,
    });
    this.#estimated = new Gauge({
      name: 'model_estimated_metric',
      help: 'How good a version is as its own probabilities estimate it, without labels: auc',
      labelNames: ['model', 'version', 'metric'],
      registers,
    });
  }

  async start(): Promise<void> {
    this.#stopping = new AbortController();
    const { signal } = this.#stopping;
    this.#loops = Promise.all(
      Object.entries(this.#deps.project.retraining).map(([model, settings]) => this.#watch(model, settings, signal)),
    );
  }

  async drain(): Promise<void> {
    await this.stop();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loops;
  }

  async #watch(model: string, settings: Retraining, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.look(model, settings);
      } catch (error) {
        this.#log.warn({ error, model }, 'retraining.check_failed');
      }
      await delay(durationMs(settings.check), undefined, { signal }).catch(() => {});
    }
  }

  /** Looks at a model once. @returns the run that was started */
  async look(model: string, settings: Retraining): Promise<string | undefined> {
    const { clock } = this.#deps;
    const facts = await readFacts(
      { ...this.#deps, nowMs: clock.now(), firstScores: this.#firstScores },
      model,
      settings,
    );
    if (facts === undefined) return undefined;
    this.#show(model, facts);
    const trigger = triggerOf(settings, facts);
    if (trigger === undefined) return undefined;
    if (facts.labels < settings.minLabels) {
      this.#count(model, trigger, 'too_few_labels');
      this.#log.info({ model, trigger, labels: facts.labels }, 'retraining.too_few_labels');
      return undefined;
    }
    return this.#start(model, trigger);
  }

  async #start(model: string, trigger: Trigger): Promise<string | undefined> {
    const { catalog, workflows, clock } = this.#deps;
    const workflow = retrainingWorkflowName(model);
    const id = `${workflow}@${rfc3339(clock.now())}`;
    const run = catalog.newRun(workflow, id, { trigger: { ...trigger } }, { kind: 'trigger', by: trigger.kind });
    try {
      if (!(await workflows.startRun(run))) return undefined;
    } catch (error) {
      if (!(error instanceof RunRefusedError)) throw error;
      this.#count(model, trigger, 'refused');
      this.#log.debug({ model, trigger, error }, 'retraining.refused');
      return undefined;
    }
    this.#count(model, trigger, 'started');
    this.#log.info({ model, trigger, run: id }, 'retraining.started');
    return id;
  }

  #count(model: string, { kind }: Trigger, outcome: string): void {
    this.#triggers.inc({ model, trigger: kind, outcome });
  }

  #show(model: string, { estimated, version }: RetrainingFacts): void {
    if (estimated !== undefined)
      this.#estimated.set({ model, version: String(version), metric: 'auc' }, estimated.value);
  }
}
