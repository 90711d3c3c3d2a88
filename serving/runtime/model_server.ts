import { messageOf } from '#kernel/errors';
import type { Service } from '#kernel/lifecycle';
import type { Logger } from '#monitoring/log';
import { Counter, Gauge, Histogram, type Registry } from '#monitoring/metrics';
import { InvalidModelError } from '#registry/errors';
import { StageAliasSync } from '#registry/lifecycle/stage_alias_sync';
import type { ModelSignature } from '#registry/model_package';
import type { ModelRegistry, ModelVersion } from '#registry/model_registry';
import type { ServedModel } from '../config.ts';
import { ModelNotReadyError, UnknownServedModelError } from '../errors.ts';
import { LoadedModel } from './loaded_model.ts';
import { MicroBatcher } from './micro_batcher.ts';

/** A version that answers. */
export interface ActiveModel {
  readonly name: string;
  readonly version: number;
  /** Of an experiment; `production` when there is none. */
  readonly variant: string;
  readonly model: LoadedModel;
  readonly batcher: MicroBatcher;
}

export interface ModelStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly version: number | undefined;
  readonly follows: ServedModel['follow'];
  /** A version that was promoted and could not be taken, and why. */
  readonly rejected: { readonly version: number; readonly reason: string } | undefined;
}

interface Slot {
  readonly served: ServedModel;
  active: ActiveModel | undefined;
  rejected: { readonly version: number; readonly reason: string } | undefined;
}

/**
 * Keeps one version of each served model ready, following the registry: a promoted version is downloaded, verified and warmed up, then
 * takes over in one step; the old one is freed when its last request is done. One that fails leaves the old one answering.
 */
export class ModelServer implements Service {
  readonly name = 'models';
  readonly #registry: ModelRegistry;
  readonly #checkSignature: (signature: ModelSignature) => readonly string[];
  readonly #sync: StageAliasSync;
  readonly #log: Logger;
  readonly #intervalMs: number;
  readonly #slots: ReadonlyMap<string, Slot>;
  readonly #loadSeconds: Histogram<'model'>;
  readonly #loadFailures: Counter<'model'>;
  readonly #info: Gauge<'model' | 'version'>;
  #refreshing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    deps: {
      readonly registry: ModelRegistry;
      readonly log: Logger;
      readonly metrics: Registry;
      /** What speaks against serving a model with this signature here, besides the model itself. */
      readonly checkSignature?: (signature: ModelSignature) => readonly string[];
    },
    settings: { models: readonly ServedModel[]; refreshIntervalMs: number },
  ) {
    this.#registry = deps.registry;
    this.#checkSignature = deps.checkSignature ?? (() => []);
    this.#sync = new StageAliasSync(deps.registry);
    this.#log = deps.log.child({ component: 'serving.models' });
    this.#intervalMs = settings.refreshIntervalMs;
    this.#slots = new Map(
      settings.models.map((served) => [served.name, { served, active: undefined, rejected: undefined }]),
    );
    const registers = [deps.metrics];
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
    this.#info = new Gauge({
      name: 'model_info',
      help: '1 for the version that answers',
      labelNames: ['model', 'version'],
      registers,
    });
  }

  async start(): Promise<void> {
    await this.refresh();
    this.#schedule();
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      void this.refresh().finally(() => {
        if (this.#timer !== undefined) this.#schedule();
      });
    }, this.#intervalMs);
    this.#timer.unref();
  }

  /** Looks for promotions now; resolves when they are served or refused. A registry that is down changes nothing. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refreshAll().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #refreshAll(): Promise<void> {
    for (const slot of this.#slots.values()) {
      const { name, follow } = slot.served;
      try {
        const isProduction = 'stage' in follow && follow.stage === 'Production';
        const version = await (isProduction ? this.#sync.check(name) : this.#registry.resolve(name, follow));
        if (version !== undefined) await this.#take(slot, version);
      } catch (error) {
        this.#log.warn({ model: name, error }, 'registry.unreachable_keeping_model');
      }
    }
  }

  async #take(slot: Slot, version: ModelVersion): Promise<void> {
    const { name } = slot.served;
    if (slot.active?.version === version.version || slot.rejected?.version === version.version) return;
    const stopTimer = this.#loadSeconds.startTimer({ model: name });
    let model: LoadedModel;
    try {
      const downloaded = await this.#registry.download(version);
      const problems = this.#checkSignature(downloaded.signature);
      if (problems.length > 0) throw new InvalidModelError(problems);
      model = await LoadedModel.load(downloaded);
    } catch (error) {
      if ((error as { retryable?: boolean }).retryable === true) throw error;
      slot.rejected = { version: version.version, reason: messageOf(error) };
      this.#loadFailures.inc({ model: name });
      this.#log.error({ model: name, version: version.version, kept: slot.active?.version, error }, 'model.refused');
      return;
    }
    stopTimer();
    const previous = slot.active;
    slot.active = { name, version: version.version, variant: 'production', model, batcher: new MicroBatcher(model) };
    slot.rejected = undefined;
    this.#info.remove({ model: name, version: String(previous?.version) });
    this.#info.set({ model: name, version: String(version.version) }, 1);
    this.#log.info({ model: name, version: version.version, previous: previous?.version }, 'model.switched');
    // Requests that took the old one keep it: it is freed after the last of them.
    if (previous !== undefined) setTimeout(() => void previous.model.release(), RELEASE_AFTER_MS).unref();
  }

  /** @throws {@link UnknownServedModelError} or {@link ModelNotReadyError} */
  active(name: string, _entity?: string): ActiveModel {
    const slot = this.#slots.get(name);
    if (slot === undefined) throw new UnknownServedModelError(name, [...this.#slots.keys()]);
    if (slot.active === undefined) {
      throw new ModelNotReadyError(name, slot.rejected?.reason ?? 'none is promoted in the registry');
    }
    return slot.active;
  }

  /** The model to answer when a request names none: the only one. */
  get onlyName(): string | undefined {
    return this.#slots.size === 1 ? [...this.#slots.keys()][0] : undefined;
  }

  status(): readonly ModelStatus[] {
    return [...this.#slots.values()].map(({ served, active, rejected }) => ({
      name: served.name,
      ready: active !== undefined,
      version: active?.version,
      follows: served.follow,
      rejected,
    }));
  }

  async drain(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#refreshing;
  }

  async stop(): Promise<void> {
    await this.drain();
    for (const slot of this.#slots.values()) {
      await slot.active?.model.release();
      slot.active = undefined;
    }
  }
}

/** A request holds a version for far less than this between choosing and running it. */
const RELEASE_AFTER_MS = 30_000;
