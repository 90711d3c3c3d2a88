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
import { Assignment, type Follow } from './experiment.ts';
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
  /** Of an experiment; `production` when there is none; `shadow` for what answers nobody. */
  readonly variant: string;
  readonly ready: boolean;
  readonly version: number | undefined;
  readonly follows: Follow;
  /** A version that was promoted and could not be taken, and why. */
  readonly rejected: { readonly version: number; readonly reason: string } | undefined;
}

interface Slot {
  readonly name: string;
  readonly variant: string;
  readonly follow: Follow;
  active: ActiveModel | undefined;
  rejected: { readonly version: number; readonly reason: string } | undefined;
}

interface ServedSlots {
  /** Of an experiment. */
  readonly assignment: Assignment | undefined;
  /** One; or one for each variant. */
  readonly slots: readonly [Slot, ...Slot[]];
  readonly shadow: Slot | undefined;
}

function slotsOf({ name, follow, experiment, shadow: shadowed }: ServedModel): ServedSlots {
  const slotOf = (variant: string, own: Follow): Slot => ({
    ...{ name, variant, follow: own },
    ...{ active: undefined, rejected: undefined },
  });
  const shadow = shadowed === undefined ? undefined : slotOf(SHADOW, shadowed);
  if (experiment === undefined) {
    return { shadow, assignment: undefined, slots: [slotOf(NO_EXPERIMENT, follow)] };
  }
  const slots = experiment.variants.map((variant) => slotOf(variant.name, variant.follow ?? follow));
  return { shadow, assignment: new Assignment(experiment), slots: slots as [Slot, ...Slot[]] };
}

const NO_EXPERIMENT = 'production';
const SHADOW = 'shadow';

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
  readonly #models: ReadonlyMap<string, ServedSlots>;
  readonly #slots: readonly Slot[];
  readonly #assignments: Counter<'model' | 'experiment' | 'variant'>;
  readonly #loadSeconds: Histogram<'model'>;
  readonly #loadFailures: Counter<'model'>;
  readonly #info: Gauge<'model' | 'version' | 'variant'>;
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
    this.#log = deps.log.child({ component: 'serving.models' });
    this.#sync = new StageAliasSync(deps.registry, (model, version, error) => {
      this.#log.warn({ model, version, error }, 'registry.stage_and_alias_differ');
    });
    this.#intervalMs = settings.refreshIntervalMs;
    this.#models = new Map(settings.models.map((served) => [served.name, slotsOf(served)]));
    this.#slots = [...this.#models.values()].flatMap(({ slots, shadow }) =>
      shadow === undefined ? slots : [...slots, shadow],
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
    this.#assignments = new Counter({
      name: 'ab_variant_assignments',
      help: 'Requests by the variant of an experiment that they were dealt to',
      labelNames: ['model', 'experiment', 'variant'],
      registers,
    });
    this.#info = new Gauge({
      name: 'model_info',
      help: '1 for the version that answers',
      labelNames: ['model', 'version', 'variant'],
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
    for (const slot of this.#slots) {
      const { name, follow } = slot;
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
    const { name, variant } = slot;
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
    slot.active = { name, version: version.version, variant, model, batcher: new MicroBatcher(model) };
    slot.rejected = undefined;
    if (previous !== undefined) this.#info.remove({ model: name, version: String(previous.version), variant });
    this.#info.set({ model: name, version: String(version.version), variant }, 1);
    this.#log.info({ model: name, version: version.version, previous: previous?.version }, 'model.switched');
    // Requests that took the old one keep it: it is freed after the last of them.
    if (previous !== undefined) setTimeout(() => void previous.model.release(), RELEASE_AFTER_MS).unref();
  }

  /**
   * @param entity - whom a prediction is about: in an experiment, the same one is always answered by the same variant
   * @throws {@link UnknownServedModelError} or {@link ModelNotReadyError}
   */
  active(name: string, entity?: string): ActiveModel {
    const served = this.#models.get(name);
    if (served === undefined) throw new UnknownServedModelError(name, [...this.#models.keys()]);
    const { assignment, slots } = served;
    const slot = assignment === undefined ? slots[0] : this.#assigned(name, assignment, slots, entity);
    // A variant that no version answers for leaves its share to the others.
    const ready = slot.active ?? slots.find(({ active }) => active !== undefined)?.active;
    if (ready === undefined) throw this.#notReady(name, slot);
    return ready;
  }

  /**
   * A version that is ready, without dealing anybody to it.
   *
   * @param version - undefined: the first
   * @returns undefined when this version does not answer here
   * @throws {@link UnknownServedModelError} or {@link ModelNotReadyError}
   */
  ready(name: string, version?: number): ActiveModel | undefined {
    const served = this.#models.get(name);
    if (served === undefined) throw new UnknownServedModelError(name, [...this.#models.keys()]);
    const ready = served.slots.flatMap(({ active }) => (active === undefined ? [] : [active]));
    if (ready.length === 0) throw this.#notReady(name, served.slots[0]);
    return version === undefined ? ready[0] : ready.find((each) => each.version === version);
  }

  #notReady(name: string, { rejected }: Slot): ModelNotReadyError {
    return new ModelNotReadyError(name, rejected?.reason ?? 'none is promoted in the registry');
  }

  #assigned(name: string, assignment: Assignment, slots: readonly Slot[], entity: string | undefined): Slot {
    const variant = assignment.variantOf(entity);
    this.#assignments.inc({ model: name, experiment: assignment.experiment, variant });
    return slots.find((slot) => slot.variant === variant) as Slot;
  }

  /** The version that computes along; undefined when there is none, or none is ready. */
  shadowOf(name: string): ActiveModel | undefined {
    return this.#models.get(name)?.shadow?.active;
  }

  /** The model to answer when a request names none: the only one. */
  get onlyName(): string | undefined {
    return this.#models.size === 1 ? [...this.#models.keys()][0] : undefined;
  }

  /** Models that no version can answer for. */
  get waiting(): readonly string[] {
    const served = [...this.#models];
    return served.flatMap(([name, { slots }]) => (slots.some(({ active }) => active !== undefined) ? [] : [name]));
  }

  status(): readonly ModelStatus[] {
    return this.#slots.map(({ name, variant, follow, active, rejected }) => ({
      name,
      variant,
      ready: active !== undefined,
      version: active?.version,
      follows: follow,
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
    for (const slot of this.#slots) {
      await slot.active?.model.release();
      slot.active = undefined;
    }
  }
}

/** A request holds a version for far less than this between choosing and running it. */
const RELEASE_AFTER_MS = 30_000;
