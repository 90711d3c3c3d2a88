import { messageOf } from '#kernel/errors';
import type { JsonObject } from '#kernel/json';
import type { Service } from '#kernel/lifecycle';
import type { Logger } from '#monitoring/log';
import { Counter, Gauge, type Registry } from '#monitoring/metrics';
import type { ModelLimits } from '#registry/graphs/model_limits';
import type { KeptModels } from '#registry/kept_models';
import type { Authorship } from '#registry/lifecycle/lifecycle';
import type { ModelRegistry } from '#registry/model_registry';
import { providerProblem } from '#registry/onnx/execution_providers';
import type { ModelSignature } from '#registry/packages/model_package';
import type { ExperimentOutcomes, OutcomesQuery } from '#serving/prediction_store/feedback_store';
import type { RoutingRow } from '#serving/routing/routing';
import {
  ExecutionProviderError,
  ModelNotReadyError,
  RoutingConflictError,
  UnknownServedModelError,
} from '../errors.ts';
import { estimateOf } from '../experiments/results.ts';
import { thompsonShares } from '../experiments/thompson.ts';
import type { Follow } from '../models/follow.ts';
import { DEFAULT_RUNTIME, type ModelRuntime } from '../models/model_runtime.ts';
import { type ActiveModel, ModelLoader } from '../models/model_slot.ts';
import type { Subject } from '../routing/assignment.ts';
import type { CanaryProgress } from '../routing/canary.ts';
import { ModelRouter, type Noted } from '../routing/model_router.ts';
import type { Routing, RoutingStore } from '../routing/routing.ts';
import type { ServedModel } from '../routing/served_model.ts';
import { OnDemandModels, type OnDemandSettings } from './on_demand.ts';

export interface ModelStatus {
  readonly name: string;
  /** Of an experiment; `production` when there is none; `canary` on trial; `shadow` for what answers no caller. */
  readonly variant: string;
  readonly ready: boolean;
  readonly version: number | undefined;
  readonly follows: Follow;
  /** A version that was promoted and could not be taken, and why. */
  readonly rejected: { readonly version: number; readonly reason: string } | undefined;
}

/** How requests for a model are assigned now. */
export interface RoutingStatus {
  readonly model: string;
  /** Of the newest change at run time; 0 when there was none. */
  readonly revision: number;
  readonly routing: Routing;
  /** Of an experiment, by variant. */
  readonly shares?: Readonly<Record<string, number>>;
  readonly canary?: CanaryProgress & { readonly percent: number };
}

interface ModelServerDeps {
  readonly registry: ModelRegistry;
  readonly log: Logger;
  readonly metrics: Registry;
  /** What speaks against serving a model with this signature here, besides the model itself. */
  readonly checkSignature?: (signature: ModelSignature) => readonly string[];
  /** Where versions that answer are kept, for a start while the registry is away. */
  readonly kept?: KeptModels | undefined;
  /** Where changes of routing are kept; without, what a canary comes to is known to this process alone, and nothing else changes. */
  readonly routings?: RoutingStore;
  /** How the variants of an experiment do: bandits deal by it. */
  readonly outcomes?: (query: OutcomesQuery) => Promise<readonly ExperimentOutcomes[]>;
  /** Takes a canary that has passed to production. */
  readonly promote?: (name: string, version: number, authorship: Authorship) => Promise<void>;
}

/** How often bandits look at what has come of their dealing. */
const BANDIT_INTERVAL_MS = 60_000;

/**
 * Keeps the versions of each served model ready, following the registry: a promoted version is downloaded, verified and warmed up, then
 * takes over in one step; the old one is freed when its last request is done. One that fails leaves the old one answering.
 */
export class ModelServer implements Service {
  readonly name = 'models';
  readonly #deps: ModelServerDeps;
  readonly #log: Logger;
  readonly #intervalMs: number;
  readonly #routers: ReadonlyMap<string, ModelRouter>;
  readonly #onDemand: OnDemandModels | undefined;
  readonly #loader: ModelLoader;
  readonly #runtimes: ReadonlyMap<string, ModelRuntime>;
  /** All of them, by the setting that they come from. */
  readonly #configured: readonly (readonly [where: string, runtime: ModelRuntime])[];
  /** Of models on demand that have none of their own. */
  readonly #otherRuntime: ModelRuntime;
  readonly #assignments: Counter<'model' | 'experiment' | 'variant'>;
  readonly #canaryPercent: Gauge<'model'>;
  readonly #rollbacks: Counter<'model'>;
  readonly #sharesSetMs = new Map<string, number>();
  #refreshing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    deps: ModelServerDeps,
    settings: {
      readonly models: readonly ServedModel[];
      readonly refreshIntervalMs: number;
      readonly onDemand?: OnDemandSettings | undefined;
      readonly modelLimits?: ModelLimits;
    },
  ) {
    this.#deps = deps;
    this.#log = deps.log.child({ component: 'serving.models' });
    this.#intervalMs = settings.refreshIntervalMs;
    const { onDemand } = settings;
    this.#runtimes = new Map([
      ...Object.entries(onDemand?.runtimes ?? {}),
      ...settings.models.map(({ name, runtime }) => [name, runtime] as const),
    ]);
    this.#otherRuntime = onDemand?.runtime ?? DEFAULT_RUNTIME;
    this.#configured = [
      ...settings.models.map(({ name, runtime }) => [`serving.models: model "${name}"`, runtime] as const),
      ...Object.entries(onDemand?.runtimes ?? {}).map(
        ([name, runtime]) => [`serving.onDemand.runtimes: model "${name}"`, runtime] as const,
      ),
      ['serving.onDemand', this.#otherRuntime],
    ];
    this.#loader = new ModelLoader(
      { ...deps, log: this.#log },
      { limits: settings.modelLimits, runtimeOf: (name) => this.#runtimes.get(name) ?? this.#otherRuntime },
    );
    const routerOf = (served: Omit<ServedModel, 'runtime'>): ModelRouter => {
      const { name, follow, thresholds, experiment, canary, shadow } = served;
      return new ModelRouter(
        { name, follow, routing: { experiment, canary, shadow }, thresholds },
        this.#loader,
        (router, progress) => this.#onProgress(router, progress),
      );
    };
    this.#routers = new Map(settings.models.map((served) => [served.name, routerOf(served)]));
    const inProduction = (name: string): ModelRouter =>
      routerOf({ name, follow: { stage: 'Production' }, thresholds: [] });
    this.#onDemand = onDemand === undefined ? undefined : new OnDemandModels(inProduction, deps.metrics, onDemand);
    const registers = [deps.metrics];
    this.#assignments = new Counter({
      name: 'ab_variant_assignments',
      help: 'Requests by the variant of an experiment that they were assigned to',
      labelNames: ['model', 'experiment', 'variant'],
      registers,
    });
    this.#canaryPercent = new Gauge({
      name: 'canary_percent',
      help: 'Share of the entities that a canary answers',
      labelNames: ['model'],
      registers,
    });
    this.#rollbacks = new Counter({
      name: 'canary_rollbacks_total',
      help: 'Canaries that were taken back because a guardrail was broken',
      labelNames: ['model'],
      registers,
    });
  }

  /** @throws {@link ExecutionProviderError} for what is configured and this build of onnxruntime lacks */
  async start(): Promise<void> {
    await this.#checkProviders();
    await this.refresh();
    this.#schedule();
  }

  async #checkProviders(): Promise<void> {
    const checked = new Set(DEFAULT_RUNTIME.executionProviders);
    for (const [where, { executionProviders }] of this.#configured) {
      for (const provider of executionProviders) {
        if (checked.has(provider)) continue;
        const problem = await providerProblem(provider);
        if (problem !== undefined) throw new ExecutionProviderError(where, provider, problem);
        checked.add(provider);
      }
    }
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      void this.refresh().finally(() => {
        if (this.#timer !== undefined) this.#schedule();
      });
    }, this.#intervalMs);
    this.#timer.unref();
  }

  /** Looks for promotions and changed routing now; resolves when they are served or refused. What is down changes nothing. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refreshAll().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #refreshAll(): Promise<void> {
    await this.#followRouting();
    await this.#loader.look();
    // Side by side: a model that is slow to load delays no other.
    await Promise.all([...this.#routers.values()].map((router) => this.#refreshOne(router)));
    await this.#onDemand?.refresh((router) => this.#refreshOne(router));
  }

  async #refreshOne(router: ModelRouter): Promise<void> {
    await router.refresh();
    if (router.canary !== undefined) this.#canaryPercent.set({ model: router.name }, router.canary.percent);
    else this.#canaryPercent.remove({ model: router.name });
    await this.#tell(router);
    await this.#dealByOutcomes(router);
  }

  /** @param loading - a model that is not found under its name yet */
  async #followRouting(loading?: ModelRouter): Promise<void> {
    const { routings } = this.#deps;
    if (routings === undefined) return;
    try {
      for (const row of await routings.read()) this.#follow(row, loading);
    } catch (error) {
      this.#log.warn({ error }, 'routing.unreachable_keeping_it');
    }
  }

  #follow(row: RoutingRow, loading?: ModelRouter): void {
    const router = loading?.name === row.model ? loading : this.#peek(row.model);
    if (router === undefined || row.revision <= router.revision) return;
    try {
      router.follow(row);
      const { model, revision, by, reason } = row;
      this.#log.info({ model, revision, by, reason }, 'routing.changed');
    } catch (error) {
      this.#log.error({ model: row.model, reason: messageOf(error) }, 'routing.not_understood');
    }
  }

  #onProgress(router: ModelRouter, progress: CanaryProgress): void {
    const { version, state, reason } = progress;
    const entry = { model: router.name, version, state, reason };
    if (state === 'rolled_back') {
      this.#rollbacks.inc({ model: router.name });
      this.#log.error(entry, 'canary.rolled_back');
    } else this.#log.info(entry, 'canary.continued');
    // Soon, and not before this request is answered.
    setImmediate(() => void this.refresh());
    if (state === 'passed' && router.routing.canary?.whenPassed === 'promote') void this.#promote(router, progress);
  }

  async #promote({ name }: ModelRouter, { version, reason }: CanaryProgress): Promise<void> {
    try {
      await this.#deps.promote?.(name, version, { by: 'headwater (canary)', reason: `passed as a canary: ${reason}` });
    } catch (error) {
      this.#log.error({ model: name, version, reason: messageOf(error) }, 'canary.not_promoted');
    }
  }

  /** Writes what a canary has come to into the trail; what cannot be written now is at the next refresh. */
  async #tell(router: ModelRouter): Promise<void> {
    const { routings } = this.#deps;
    const { noted } = router;
    if (noted === undefined) return;
    if (routings === undefined) return router.forget(noted);
    try {
      const isWritten = await this.#append(routings, router, noted);
      if (isWritten) router.forget(noted);
    } catch (error) {
      this.#log.warn({ model: router.name, error }, 'routing.not_written');
    }
  }

  /** @returns false when another request has made a change meanwhile */
  async #append(routings: RoutingStore, router: ModelRouter, { by, reason, state }: Noted): Promise<boolean> {
    const row = { model: router.name, revision: router.revision + 1, atMs: Date.now(), by, reason };
    const written = { ...row, state: JSON.parse(JSON.stringify(state)) as JsonObject };
    if (!(await routings.append(written))) return false;
    this.#follow(written);
    return true;
  }

  async #dealByOutcomes({ name, assignment }: ModelRouter): Promise<void> {
    const { outcomes } = this.#deps;
    if (outcomes === undefined || assignment?.experiment.allocation !== 'thompson') return;
    const { experiment } = assignment;
    const nowMs = Date.now();
    if (nowMs - (this.#sharesSetMs.get(name) ?? 0) < BANDIT_INTERVAL_MS) return;
    this.#sharesSetMs.set(name, nowMs);
    try {
      const found = await outcomes({ model: name, experiment: experiment.name, outcome: experiment.outcome });
      const arms = experiment.variants.map((each) => estimateOf(found.find(({ variant }) => variant === each.name)));
      assignment.setShares(thompsonShares(arms, experiment.explore));
    } catch (error) {
      this.#log.warn({ model: name, error }, 'experiment.outcomes_unknown');
    }
  }

  /**
   * Deals the requests for a model otherwise from now on, in every process that serves it.
   *
   * @param routing - null: as the configuration says
   * @param after - the revision that the author has seen
   * @throws {@link RoutingConflictError} when another request was faster; what the store throws
   */
  async setRouting(
    name: string,
    routing: Routing | null,
    authorship: Authorship,
    after?: number,
  ): Promise<RoutingStatus> {
    const { routings } = this.#deps;
    const router = this.#router(name);
    if (routings === undefined) throw new RoutingConflictError(name, 'there is no store to keep changes in');
    await this.#followRouting();
    if (after !== undefined && after !== router.revision) {
      throw new RoutingConflictError(name, `it is at revision ${router.revision}, not ${after}: look again`);
    }
    const change = { ...authorship, state: { routing } };
    if (!(await this.#append(routings, router, change))) {
      throw new RoutingConflictError(name, 'another request has changed it: read it again');
    }
    await this.refresh();
    return this.routingOf(name);
  }

  /** The newest changes first. */
  async routingHistory(name: string, limit: number): Promise<readonly RoutingRow[]> {
    this.#router(name);
    return (await this.#deps.routings?.list(name, limit)) ?? [];
  }

  routingOf(name: string): RoutingStatus {
    const { routing, revision, assignment, canary } = this.#router(name);
    return {
      ...{ model: name, revision, routing },
      ...(assignment === undefined ? {} : { shares: assignment.shares }),
      ...(canary === undefined ? {} : { canary: { ...canary.progress, percent: canary.percent } }),
    };
  }

  /** For models that are loaded on demand, before anything else is asked of one. @throws what says that there is none */
  async ensure(name: string): Promise<void> {
    if (this.#onDemand === undefined || this.#find(name) !== undefined) return;
    // What was changed of its routing holds from the first request.
    await this.#onDemand.load(name, (router) => this.#followRouting(router));
  }

  #find(name: string): ModelRouter | undefined {
    return this.#routers.get(name) ?? this.#onDemand?.get(name);
  }

  /** As {@link #find}, of what was found for the request before. */
  #peek(name: string): ModelRouter | undefined {
    return this.#routers.get(name) ?? this.#onDemand?.peek(name);
  }

  /** @throws {@link UnknownServedModelError} */
  #router(name: string): ModelRouter {
    const router = this.#find(name);
    if (router === undefined) throw new UnknownServedModelError(name, [...this.#routers.keys()]);
    return router;
  }

  /**
   * @param subject - whom a prediction is about: in an experiment, the same one is always answered by the same variant
   * @throws {@link UnknownServedModelError} or {@link ModelNotReadyError}
   */
  active(name: string, subject: Subject = {}): ActiveModel {
    const router = this.#router(name);
    const chosen = router.choose(subject);
    if (chosen === undefined) throw notReady(router);
    return chosen;
  }

  /** Counts a request that is answered by what {@link active} has chosen for it. */
  countAssigned({ name: model, experiment, variant }: ActiveModel): void {
    if (experiment !== undefined) this.#assignments.inc({ model, experiment, variant });
  }

  /** Whether features of a request decide who answers it. */
  asksFeatures(name: string): boolean {
    return this.#peek(name)?.assignment?.asksFeatures === true;
  }

  /** Whether entities are split among several versions. */
  isSplit(name: string): boolean {
    const router = this.#peek(name);
    return router?.assignment !== undefined || router?.canary !== undefined;
  }

  /** While a canary runs: observers of the outcome of requests. */
  watching(name: string): ModelRouter | undefined {
    const router = this.#peek(name);
    return router?.canary === undefined ? undefined : router;
  }

  /**
   * A version that is ready, without assigning requests to it.
   *
   * @param version - undefined: the first
   * @returns undefined when this version does not answer here
   * @throws {@link UnknownServedModelError} or {@link ModelNotReadyError}
   */
  ready(name: string, version?: number): ActiveModel | undefined {
    const router = this.#router(name);
    const ready = router.answering.flatMap(({ active }) => (active === undefined ? [] : [active]));
    if (ready.length === 0) throw notReady(router);
    return version === undefined ? ready[0] : ready.find((each) => each.version === version);
  }

  /**
   * Loads what is followed under a name now, and resolves when it answers.
   *
   * @throws {@link UnknownServedModelError} or {@link ModelNotReadyError}
   */
  async load(name: string): Promise<void> {
    if (this.#routers.has(name)) await this.refresh();
    else await this.ensure(name);
    this.ready(name);
  }

  /**
   * Frees a model that was loaded on demand, after its last requests.
   *
   * @throws {@link UnknownServedModelError}, and {@link RoutingConflictError} for one that the configuration names
   */
  unload(name: string): void {
    if (this.#routers.has(name)) {
      throw new RoutingConflictError(name, 'serving.models has it: remove it there to unload it');
    }
    if (this.#onDemand?.unload(name) !== true) this.#router(name);
  }

  /** The version that computes along; undefined when there is none, or none is ready. */
  shadowOf(name: string): ActiveModel | undefined {
    return this.#peek(name)?.shadow;
  }

  /** The model to answer when a request names none: the only one. */
  get onlyName(): string | undefined {
    return this.#routers.size === 1 ? [...this.#routers.keys()][0] : undefined;
  }

  /** Models that no version can answer for. */
  get waiting(): readonly string[] {
    return [...this.#routers.values()].flatMap(({ name, production }) => (production === undefined ? [name] : []));
  }

  status(): readonly ModelStatus[] {
    return [...this.#routers.values(), ...(this.#onDemand?.all ?? [])].flatMap(({ slots }) =>
      slots.map(({ name, variant, follow, active, rejected }) => ({
        ...{ name, variant, ready: active !== undefined, version: active?.version },
        ...{ follows: follow, rejected },
      })),
    );
  }

  async drain(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#refreshing;
  }

  async stop(): Promise<void> {
    await this.drain();
    for (const router of this.#routers.values()) await router.stop();
    await this.#onDemand?.stop();
    await this.#loader.stop();
  }
}

function notReady({ name, answering: [{ rejected }] }: ModelRouter): ModelNotReadyError {
  return new ModelNotReadyError(name, rejected?.reason ?? 'none is promoted in the registry');
}
