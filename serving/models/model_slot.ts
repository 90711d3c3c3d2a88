import { messageOf } from '#kernel/errors';
import type { Logger } from '#monitoring/log';
import { Counter, Gauge, Histogram, type Registry } from '#monitoring/metrics';
import {
  ArtifactIntegrityError,
  IncompleteModelError,
  InvalidModelError,
  RegistryUnavailableError,
} from '#registry/errors';
import type { ModelLimits } from '#registry/graphs/model_limits';
import type { KeptModels } from '#registry/kept_models';
import { StageAliasSync } from '#registry/lifecycle/stage_alias_sync';
import type { ModelRegistry, ModelVersion } from '#registry/model_registry';
import type { ModelPackage, ModelSignature } from '#registry/packages/model_package';
import { AdaptiveThreshold, type ThresholdRule } from './adaptive_threshold.ts';
import type { Follow } from './follow.ts';
import { LoadedModel } from './loaded_model.ts';
import { MicroBatcher } from './micro_batcher.ts';
import { DEFAULT_RUNTIME, type ModelRuntime } from './model_runtime.ts';

/** A version that answers. */
export interface ActiveModel {
  readonly name: string;
  readonly version: number;
  /** What it answers as: a variant of an experiment, `canary`, `shadow`; `production` otherwise. */
  readonly variant: string;
  /** That the variant belongs to. */
  readonly experiment: string | undefined;
  readonly model: LoadedModel;
  readonly batcher: MicroBatcher;
  /** Where it depends on the row; undefined: the model's own. */
  readonly threshold: AdaptiveThreshold | undefined;
  /** The request named the variant: chance did not, so that its outcome is no evidence for or against it. */
  readonly isNamed?: boolean;
}

/** A request holds a version for far less than this between choosing and running it. */
const RELEASE_AFTER_MS = 30_000;
/** Versions of a model that were replaced and wait for that: the oldest is freed when there are more, so that many swaps take no more memory than few. */
const MOST_WAITING = 2;
/** A version whose files were missing or damaged is tried again after so long, ms; twice as long each time. */
const RETRY_MS = 2_000;
const RETRY_AT_MOST_MS = 300_000;

/** Requests of all slots of a version run together. */
type Runnable = Pick<ActiveModel, 'model' | 'batcher'>;

interface Shared {
  readonly loading: Promise<Runnable>;
  users: number;
}

interface LoaderSettings {
  readonly limits?: ModelLimits | undefined;
  /** How versions of a model are computed. */
  readonly runtimeOf?: (name: string) => ModelRuntime;
}

/** Downloads, checks and warms up versions; one that several slots follow is loaded once. */
export class ModelLoader {
  readonly #registry: ModelRegistry;
  readonly #checkSignature: (signature: ModelSignature) => readonly string[];
  readonly #sync: StageAliasSync;
  readonly #loaded = new Map<string, Shared>();
  readonly #waiting = new Map<string, readonly Waiting[]>();
  #fingerprints: ReadonlyMap<string, string> | undefined;
  /** What was followed, by model and selector, when the model had a fingerprint. */
  readonly #settled = new Map<string, { readonly fingerprint: string; readonly version: ModelVersion }>();
  readonly #loadSeconds: Histogram<'model'>;
  readonly #loadFailures: Counter<'model'>;
  readonly #limits: ModelLimits | undefined;
  readonly #runtimeOf: (name: string) => ModelRuntime;
  readonly #kept: KeptModels | undefined;
  /** Of versions that are not kept yet. */
  readonly #packages = new WeakMap<LoadedModel, ModelPackage>();
  readonly #info: Gauge<'model' | 'version' | 'variant'>;
  readonly #trainingSeconds: Gauge<'model' | 'version' | 'variant'>;
  readonly withdrawn: Counter<'model'>;
  readonly log: Logger;

  constructor(
    deps: {
      readonly registry: ModelRegistry;
      readonly log: Logger;
      readonly metrics: Registry;
      /** What speaks against serving a model with this signature here, besides the model itself. */
      readonly checkSignature?: (signature: ModelSignature) => readonly string[];
      /** Where versions that answer are kept, for a start while the registry is away. */
      readonly kept?: KeptModels | undefined;
    },
    { limits, runtimeOf = () => DEFAULT_RUNTIME }: LoaderSettings = {},
  ) {
    this.#runtimeOf = runtimeOf;
    this.#kept = deps.kept;
    this.#limits = limits;
    this.#registry = deps.registry;
    this.#checkSignature = deps.checkSignature ?? (() => []);
    this.log = deps.log;
    const registers = [deps.metrics];
    const disagreements = new Counter({
      name: 'registry_disagreements_total',
      help: 'Times that the alias @champion and the stage Production of a model were on two versions, and the alias was followed',
      labelNames: ['model'],
      registers,
    });
    this.#sync = new StageAliasSync(deps.registry, {
      onFailure: (model, version, error) => this.log.warn({ model, version, error }, 'registry.stage_and_alias_differ'),
      onDisagreement: (model, alias, stage) => {
        disagreements.inc({ model });
        this.log.warn({ model, alias, stage }, 'registry.alias_followed');
      },
    });
    this.#loadSeconds = new Histogram({
      name: 'model_load_seconds',
      help: 'Download, verification and warm-up of a version',
      labelNames: ['model'],
      registers,
    });
    this.#loadFailures = new Counter({
      name: 'model_load_failures_total',
      help: 'Versions that were promoted and could not be taken',
      labelNames: ['model'],
      registers,
    });
    this.withdrawn = new Counter({
      name: 'models_withdrawn_total',
      help: 'Versions that were taken out of service because a run of them did not end',
      labelNames: ['model'],
      registers,
    });
    this.#info = new Gauge({
      name: 'model_info',
      help: '1 for the version that answers',
      labelNames: ['model', 'version', 'variant'],
      registers,
    });
    this.#trainingSeconds = new Gauge({
      name: 'model_training_seconds',
      help: 'How long the version that answers was trained, as the registry has it',
      labelNames: ['model', 'version', 'variant'],
      registers,
    });
  }

  /** Shows the version that answers as a variant, with what its registry entry says of it. */
  tell({ name: model, version, variant }: ActiveModel, entry: ModelVersion | undefined): void {
    const labels = { model, version: String(version), variant };
    this.#info.set(labels, 1);
    const seconds = entry?.metrics.training_seconds;
    if (seconds !== undefined) this.#trainingSeconds.set(labels, seconds);
  }

  tellNoMore({ name: model, version, variant }: ActiveModel): void {
    const labels = { model, version: String(version), variant };
    this.#info.remove(labels);
    this.#trainingSeconds.remove(labels);
  }

  /** Looks once for all models whether anything of them has changed. */
  async look(): Promise<void> {
    try {
      this.#fingerprints = await this.#registry.fingerprints?.();
    } catch {
      // Each model then meets the error by itself.
      this.#fingerprints = undefined;
    }
  }

  /**
   * Returns the version that is followed now; undefined when there is none. The registry is not asked where nothing of the model has changed since it was.
   *
   * @param active - the version that answers
   */
  async resolve(name: string, follow: Follow, active: number | undefined): Promise<ModelVersion | undefined> {
    const key = JSON.stringify([name, follow]);
    const fingerprint = this.#fingerprints?.get(name);
    const settled = this.#settled.get(key);
    const isSettled = fingerprint !== undefined && settled?.fingerprint === fingerprint;
    if (isSettled && settled.version.version === active) return settled.version;
    const isProduction = 'stage' in follow && follow.stage === 'Production';
    const version = await (isProduction ? this.#sync.check(name) : this.#registry.resolve(name, follow));
    if (fingerprint === undefined || version === undefined) this.#settled.delete(key);
    else this.#settled.set(key, { fingerprint, version });
    return version;
  }

  /** Call {@link release} for each. @throws what is wrong with the version */
  async acquire(version: ModelVersion): Promise<Runnable> {
    const key = keyOf(version);
    const shared = this.#loaded.get(key) ?? { loading: this.#load(version), users: 0 };
    this.#loaded.set(key, shared);
    shared.users += 1;
    try {
      return await shared.loading;
    } catch (error) {
      this.#loaded.delete(key);
      throw error;
    }
  }

  async #load(version: ModelVersion): Promise<Runnable> {
    const { name } = version;
    const stopTimer = this.#loadSeconds.startTimer({ model: name });
    try {
      const downloaded = await this.#download(version);
      const problems = this.#checkSignature(downloaded.signature);
      if (problems.length > 0) throw new InvalidModelError(problems);
      const runtime = this.#runtimeOf(name);
      const limits = this.#limits === undefined ? {} : { limits: this.#limits };
      const model = await LoadedModel.load(downloaded, { runtime, ...limits });
      stopTimer();
      if (this.#kept !== undefined) this.#packages.set(model, downloaded);
      return { model, batcher: new MicroBatcher(model, runtime.batching) };
    } catch (error) {
      if ((error as { retryable?: boolean }).retryable !== true) this.#loadFailures.inc({ model: name });
      throw error;
    }
  }

  async #download(version: ModelVersion): Promise<ModelPackage> {
    try {
      return await this.#registry.download(version);
    } catch (error) {
      const kept = error instanceof RegistryUnavailableError ? await this.#kept?.read(version) : undefined;
      if (kept === undefined) throw error;
      this.log.warn({ model: version.name, version: version.version, error }, 'model.taken_from_disk');
      return kept;
    }
  }

  /** Returns the version that was followed when the registry last answered; undefined where none is kept. */
  async lastFollowed(name: string, follow: Follow): Promise<ModelVersion | undefined> {
    return this.#kept?.find(name, follow);
  }

  /** Keeps a version that answers now. */
  keep(version: ModelVersion, follow: Follow, model: LoadedModel): void {
    if (this.#kept === undefined) return;
    const own = this.#packages.get(model);
    this.#packages.delete(model);
    this.#kept.keep(version, follow, own).catch((error: unknown) => {
      this.log.warn({ model: version.name, version: version.version, error }, 'model.not_kept');
    });
  }

  /**
   * Frees a version once no slot uses it any more; a slot that follows it after that loads and checks it anew.
   *
   * @param afterMs - requests that took it have so long to run it
   */
  async release(version: Pick<ModelVersion, 'name' | 'version'>, afterMs = 0): Promise<void> {
    const key = keyOf(version);
    const shared = this.#loaded.get(key);
    if (shared === undefined) return;
    shared.users -= 1;
    if (shared.users > 0) return;
    this.#loaded.delete(key);
    const { model } = await shared.loading;
    if (afterMs === 0) return model.release();
    const timer = setTimeout(() => this.#free(version.name, waiting), afterMs).unref();
    const waiting: Waiting = { model, timer };
    const all = [...(this.#waiting.get(version.name) ?? []), waiting];
    this.#waiting.set(version.name, all);
    if (all.length > MOST_WAITING) this.#free(version.name, all[0] as Waiting);
  }

  #free(name: string, waiting: Waiting): void {
    clearTimeout(waiting.timer);
    const others = (this.#waiting.get(name) ?? []).filter((each) => each !== waiting);
    if (others.length === 0) this.#waiting.delete(name);
    else this.#waiting.set(name, others);
    void waiting.model.release();
  }

  /** Frees all versions that were replaced. */
  async stop(): Promise<void> {
    const waiting = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    for (const { timer } of waiting) clearTimeout(timer);
    await Promise.all(waiting.map(({ model }) => model.release()));
  }
}

/** A version that was replaced, and may be in use by requests that chose it before. */
interface Waiting {
  readonly model: LoadedModel;
  readonly timer: NodeJS.Timeout;
}

const keyOf = ({ name, version }: Pick<ModelVersion, 'name' | 'version'>): string => `${name}/${version}`;

interface Rejected {
  readonly version: number;
  readonly reason: string;
  /** When it is tried again, as `performance.now()`, and after how long it was; undefined: it is refused for good. */
  readonly retry?: { readonly atMs: number; readonly afterMs: number };
}

const isIncomplete = (error: unknown): boolean =>
  error instanceof IncompleteModelError || error instanceof ArtifactIntegrityError;

export interface SlotSettings {
  readonly name: string;
  readonly variant: string;
  readonly follow: Follow;
  readonly experiment?: string | undefined;
  readonly thresholds?: readonly ThresholdRule[];
}

/** What follows the registry for a variant: the version that answers, and the newest that could not be taken. */
export class ModelSlot {
  readonly name: string;
  readonly variant: string;
  readonly follow: Follow;
  readonly experiment: string | undefined;
  readonly #thresholds: readonly ThresholdRule[];
  readonly #loader: ModelLoader;
  #active: ActiveModel | undefined;
  #rejected: Rejected | undefined;
  #isUnreachable = false;
  /** The version that answered before. */
  #before: ModelVersion | undefined;
  #current: ModelVersion | undefined;

  constructor(loader: ModelLoader, { name, variant, follow, experiment, thresholds = [] }: SlotSettings) {
    this.#loader = loader;
    this.name = name;
    this.variant = variant;
    this.follow = follow;
    this.experiment = experiment;
    this.#thresholds = thresholds;
  }

  get active(): ActiveModel | undefined {
    return this.#active;
  }

  /** A version that was promoted and could not be taken, and why. */
  get rejected(): { readonly version: number; readonly reason: string } | undefined {
    return this.#rejected === undefined
      ? undefined
      : { version: this.#rejected.version, reason: this.#rejected.reason };
  }

  /** Whether the registry did not answer when it was last asked. */
  get isUnreachable(): boolean {
    return this.#isUnreachable;
  }

  /** Takes the version that is followed now, in one step, when it is another one; one that fails leaves the old one answering. */
  async refresh(): Promise<void> {
    const { name, variant } = this;
    const { log } = this.#loader;
    try {
      const version = await this.#loader.resolve(name, this.follow, this.#active?.version);
      this.#isUnreachable = false;
      if (version !== undefined) await this.#take(version);
    } catch (error) {
      this.#isUnreachable = true;
      log.warn({ model: name, variant, error }, 'registry.unreachable_keeping_model');
      if (this.#active === undefined) await this.#takeKept();
    }
    // Again each time: another slot that followed the same under this variant may have taken the label with it.
    if (this.#active !== undefined) this.#loader.tell(this.#active, this.#current);
  }

  /** What answered before a restart, while the registry is away. */
  async #takeKept(): Promise<void> {
    const { name, variant } = this;
    try {
      const kept = await this.#loader.lastFollowed(name, this.follow);
      if (kept !== undefined) await this.#take(kept);
    } catch (error) {
      this.#loader.log.warn({ model: name, variant, error }, 'model.not_taken_from_disk');
    }
  }

  async #take(version: ModelVersion): Promise<void> {
    const { name, variant } = this;
    const { log } = this.#loader;
    if (this.#active?.version === version.version) return;
    const before = this.#rejected?.version === version.version ? this.#rejected : undefined;
    if (before !== undefined && performance.now() < (before.retry?.atMs ?? Number.POSITIVE_INFINITY)) return;
    let runnable: Runnable;
    let threshold: AdaptiveThreshold | undefined;
    try {
      runnable = await this.#loader.acquire(version);
      threshold = await this.#thresholdOf(runnable.model, version);
    } catch (error) {
      const rejected = { version: version.version, reason: messageOf(error) };
      if (isIncomplete(error)) {
        const afterMs = Math.min(RETRY_AT_MOST_MS, (before?.retry?.afterMs ?? RETRY_MS / 2) * 2);
        this.#rejected = { ...rejected, retry: { atMs: performance.now() + afterMs, afterMs } };
        log.warn({ model: name, ...rejected, kept: this.#active?.version, afterMs }, 'model.incomplete_trying_again');
        return;
      }
      if ((error as { retryable?: boolean }).retryable === true) throw error;
      this.#rejected = rejected;
      log.error({ model: name, version: version.version, kept: this.#active?.version, error }, 'model.refused');
      return;
    }
    const previous = this.#active;
    this.#active = { name, version: version.version, variant, experiment: this.experiment, ...runnable, threshold };
    this.#rejected = undefined;
    this.#before = this.#current;
    this.#current = version;
    void runnable.model.lost?.then((error) => this.#withdraw(version, error));
    this.#forget(previous);
    this.#loader.keep(version, this.follow, runnable.model);
    log.info({ model: name, variant, version: version.version, previous: previous?.version }, 'model.switched');
  }

  /** Takes a version out of service that was stopped, for good; the one before it answers again, or none does. */
  async #withdraw(version: ModelVersion, error: Error): Promise<void> {
    if (this.#active?.version !== version.version) return;
    const { name, variant } = this;
    const { log, withdrawn } = this.#loader;
    const withdrawnModel = this.#active;
    const before = this.#before;
    this.#active = undefined;
    this.#current = undefined;
    this.#before = undefined;
    this.#rejected = { version: version.version, reason: error.message };
    withdrawn.inc({ model: name });
    log.error({ model: name, variant, version: version.version, back: before?.version, error }, 'model.withdrawn');
    this.#forget(withdrawnModel, 0);
    if (before === undefined) return;
    try {
      await this.#takeBack(before);
    } catch (failure) {
      log.error({ model: name, variant, version: before.version, error: failure }, 'model.not_taken_back');
    }
  }

  async #takeBack(version: ModelVersion): Promise<void> {
    const { name, variant, experiment } = this;
    const runnable = await this.#loader.acquire(version);
    const threshold = await this.#thresholdOf(runnable.model, version);
    // Another was promoted meanwhile.
    if (this.#active !== undefined || this.#rejected === undefined) return void this.#loader.release(version);
    this.#active = { name, version: version.version, variant, experiment, ...runnable, threshold };
    this.#current = version;
    void runnable.model.lost?.then((error) => this.#withdraw(version, error));
    this.#loader.log.info({ model: name, variant, version: version.version }, 'model.taken_back');
  }

  /** @throws what speaks against the rules for this version, which is released then */
  async #thresholdOf(model: LoadedModel, version: ModelVersion): Promise<AdaptiveThreshold | undefined> {
    if (this.#thresholds.length === 0) return undefined;
    try {
      return new AdaptiveThreshold(this.#thresholds, model.signature, model.encoder);
    } catch (error) {
      await this.#loader.release(version);
      throw error;
    }
  }

  /** Requests that took it keep it: it is freed after the last of them. */
  #forget(previous: ActiveModel | undefined, afterMs = RELEASE_AFTER_MS): void {
    if (previous === undefined) return;
    this.#loader.tellNoMore(previous);
    void this.#loader.release(previous, afterMs);
  }

  /** It is not asked any more. */
  retire(): void {
    const previous = this.#active;
    this.#active = undefined;
    this.#forget(previous);
  }

  async stop(): Promise<void> {
    const previous = this.#active;
    this.#active = undefined;
    if (previous !== undefined) await this.#loader.release(previous);
  }
}
