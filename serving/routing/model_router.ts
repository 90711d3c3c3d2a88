import { messageOf } from '#kernel/errors';
import type { RoutingRow } from '#serving/routing/routing';
import { UnknownVariantError } from '../errors.ts';
import type { ThresholdRule } from '../models/adaptive_threshold.ts';
import type { Follow } from '../models/follow.ts';
import { type ActiveModel, type ModelLoader, ModelSlot } from '../models/model_slot.ts';
import { Assignment, type Subject } from './assignment.ts';
import { type CanaryProgress, CanaryRun, type Entities } from './canary.ts';
import type { Observation } from './guardrails.ts';
import { type Routing, type RoutingState, routingStateSchema } from './routing.ts';

export const NO_EXPERIMENT = 'production';
const SHADOW = 'shadow';
/** What a version on trial answers as. */
export const CANARY = 'canary';
/** Who writes what a canary comes to into the trail. */
const CANARY_AUTHOR = 'headwater (canary)';

/** What a router has decided by itself, for other processes. */
export type Noted = Pick<RoutingRow, 'by' | 'reason'> & { readonly state: RoutingState };

export interface RouterSettings {
  readonly name: string;
  readonly follow: Follow;
  readonly routing: Routing;
  readonly thresholds?: readonly ThresholdRule[];
}

/** Deals the requests for one model to its versions, as configured or as was changed since. */
export class ModelRouter {
  readonly name: string;
  readonly #follow: Follow;
  readonly #configured: Routing;
  readonly #thresholds: readonly ThresholdRule[];
  readonly #loader: ModelLoader;
  readonly #onProgress: (router: ModelRouter, progress: CanaryProgress) => void;
  /** What was changed at run time; null: nothing. */
  #changed: Routing | null = null;
  #revision = 0;
  #assignment: Assignment | undefined;
  /** One; or one for each variant. */
  #slots: readonly [ModelSlot, ...ModelSlot[]];
  #canarySlot: ModelSlot | undefined;
  #shadowSlot: ModelSlot | undefined;
  #canary: CanaryRun | undefined;
  /** How far a canary had come when it was last told of. */
  #lastProgress: CanaryProgress | undefined;
  #noted: Noted | undefined;
  /** Versions as requests that name their variant have them. */
  readonly #namedOf = new WeakMap<ActiveModel, ActiveModel>();

  /** @param onProgress - called when a canary continues, passes, or is taken back */
  constructor(
    { name, follow, routing, thresholds = [] }: RouterSettings,
    loader: ModelLoader,
    onProgress: (router: ModelRouter, progress: CanaryProgress) => void,
  ) {
    this.name = name;
    this.#follow = follow;
    this.#configured = routing;
    this.#thresholds = thresholds;
    this.#loader = loader;
    this.#onProgress = onProgress;
    this.#slots = [this.#slot(NO_EXPERIMENT, follow)];
    this.#adopt(routing);
  }

  get routing(): Routing {
    return this.#changed ?? this.#configured;
  }

  /** Of the newest change; 0 when there was none. */
  get revision(): number {
    return this.#revision;
  }

  get canary(): CanaryRun | undefined {
    return this.#canary;
  }

  get assignment(): Assignment | undefined {
    return this.#assignment;
  }

  /** Those that answer, the first first; then those that do not. */
  get slots(): readonly ModelSlot[] {
    return [...this.#slots, this.#canarySlot, this.#shadowSlot].filter((slot) => slot !== undefined);
  }

  /** Versions that answer under the model's own name; the first is production. */
  get answering(): readonly [ModelSlot, ...ModelSlot[]] {
    return this.#slots;
  }

  get shadow(): ActiveModel | undefined {
    return this.#shadowSlot?.active;
  }

  #slot(variant: string, follow: Follow, experiment?: string): ModelSlot {
    return new ModelSlot(this.#loader, {
      ...{ name: this.name, variant, follow, experiment },
      thresholds: this.#thresholds,
    });
  }

  /** Slots that stay keep their versions. */
  #adopt({ experiment, canary, shadow }: Routing): void {
    const before = this.slots;
    const keep = (variant: string, follow: Follow, own?: string): ModelSlot =>
      before.find((slot) => slot.variant === variant && isSame(slot.follow, follow) && slot.experiment === own) ??
      this.#slot(variant, follow, own);
    this.#assignment = experiment === undefined ? undefined : new Assignment(experiment);
    this.#slots =
      experiment === undefined
        ? [keep(NO_EXPERIMENT, this.#follow)]
        : (experiment.variants.map((each) => keep(each.name, each.follow ?? this.#follow, experiment.name)) as [
            ModelSlot,
            ...ModelSlot[],
          ]);
    this.#canarySlot = canary === undefined ? undefined : keep(CANARY, canary.follow);
    this.#shadowSlot = shadow === undefined ? undefined : keep(SHADOW, shadow);
    this.#canary = undefined;
    const kept = new Set(this.slots);
    for (const slot of before) if (!kept.has(slot)) slot.retire();
  }

  /** @returns undefined when no version can answer */
  choose(subject: Subject): ActiveModel | undefined {
    if (subject.variant !== undefined) return this.#named(subject.variant);
    const assignment = this.#assignment;
    if (assignment !== undefined) {
      const variant = assignment.variantOf(subject);
      const slot = this.#slots.find((each) => each.variant === variant);
      // A variant that no version answers for leaves its share to the others.
      return slot?.active ?? this.production;
    }
    const run = this.#canary;
    const tried = run === undefined ? undefined : this.#canarySlot?.active;
    if (tried?.version === run?.progress.version && run?.takes(subject.entity) === true) return tried;
    return this.production;
  }

  /** @throws {@link UnknownVariantError} */
  #named(variant: string): ActiveModel | undefined {
    const answering = [...this.#slots, this.#canarySlot].filter((slot) => slot !== undefined);
    const slot = answering.find((each) => each.variant === variant);
    if (slot === undefined) {
      throw new UnknownVariantError(
        this.name,
        variant,
        answering.map((each) => each.variant),
      );
    }
    const { active } = slot;
    if (active === undefined) return undefined;
    const known = this.#namedOf.get(active) ?? { ...active, experiment: undefined, isNamed: true };
    this.#namedOf.set(active, known);
    return known;
  }

  /** The first version that is ready. */
  get production(): ActiveModel | undefined {
    return this.#slots.find(({ active }) => active !== undefined)?.active;
  }

  /** Looks for promotions. */
  async refresh(): Promise<void> {
    await Promise.all(this.slots.map((slot) => slot.refresh()));
    this.#followCanary();
  }

  /** A version that is new in the canary's place begins; one that has reached production has ended. */
  #followCanary(): void {
    const settings = this.routing.canary;
    const tried = this.#canarySlot?.active?.version;
    if (settings === undefined || tried === undefined || tried === this.production?.version) {
      this.#canary = undefined;
      return;
    }
    if (this.#canary?.progress.version === tried) return;
    const known = this.#lastProgress?.version === tried ? this.#lastProgress : undefined;
    const progress = known ?? { version: tried, step: 0, state: 'running', reason: `begins at ${settings.steps[0]} %` };
    this.#canary = new CanaryRun(this.name, settings, progress);
    if (known === undefined) this.#note(progress);
  }

  /** What became of rows; only read while a canary runs. */
  see(active: ActiveModel, seen: Observation, entities?: Entities): void {
    const run = this.#canary;
    if (run === undefined) return;
    if (active.variant !== CANARY) run.seeControl(seen, entities);
    else if (active.version === run.progress.version) {
      const progress = run.seeCanary(seen, entities);
      if (progress !== undefined) this.#note(progress);
    }
  }

  #note(progress: CanaryProgress): void {
    this.#lastProgress = progress;
    this.#noted = {
      by: CANARY_AUTHOR,
      reason: `version ${progress.version}: ${progress.state.replace('_', ' ')}: ${progress.reason}`,
      state: { routing: this.#changed, canary: progress },
    };
    this.#onProgress(this, progress);
  }

  /** What is to be written into the trail. */
  get noted(): Noted | undefined {
    return this.#noted;
  }

  /** It was written, or is of no use any more. */
  forget(noted: Noted): void {
    if (this.#noted === noted) this.#noted = undefined;
  }

  /** Takes over the newest change, made by whichever process. @throws what is wrong with it */
  follow({ revision, state }: Pick<RoutingRow, 'revision' | 'state'>): void {
    if (revision <= this.#revision) return;
    this.#revision = revision;
    const parsed = routingStateSchema.safeParse(state);
    if (!parsed.success) throw new Error(`routing of ${this.name}, revision ${revision}: ${messageOf(parsed.error)}`);
    const { routing, canary } = parsed.data;
    if (!isSame(routing, this.#changed)) {
      this.#changed = routing;
      this.#adopt(this.routing);
    }
    // That it must go is known here, whatever others have come to.
    const mustGo = this.#noted?.state.canary?.state === 'rolled_back' && this.#canary !== undefined;
    if (mustGo) return;
    this.#noted = undefined;
    this.#lastProgress = canary;
    if (canary !== undefined && this.#canary?.progress.version === canary.version) this.#canary.follow(canary);
  }

  /** It is not asked any more: versions are freed after their last requests. */
  retire(): void {
    for (const slot of this.slots) slot.retire();
  }

  async stop(): Promise<void> {
    for (const slot of this.slots) await slot.stop();
  }
}

const isSame = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);
