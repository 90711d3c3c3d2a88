import { PromotionConflictError } from '../errors.ts';
import type { ModelRegistry, ModelVersion } from '../model_registry.ts';

export interface SyncObserver {
  /** Called once for a version: the other one could not be moved, and the version is followed all the same. */
  readonly onFailure?: (name: string, version: number, error: unknown) => void;
  /** Called when the alias is followed because the two are on different versions without a known move. */
  readonly onDisagreement?: (name: string, alias: number, stage: number) => void;
}

/**
 * Keeps the stage Production and the alias @champion of a model on one version, whichever of the two is moved: MLflow's user interface
 * knows both, as two things. What has moved since they last agreed is followed. Where both have, or that cannot be known, they disagree: the alias wins,
 * as MLflow will remove stages. Other versions in Production, which that interface leaves there unless asked otherwise, are archived.
 */
export class StageAliasSync {
  readonly #registry: ModelRegistry;
  /** The version both were on when they were last seen to agree, by model. */
  readonly #agreed = new Map<string, number>();
  /** The version that could not be moved to, by model: a client that may only read does not try it again each time. */
  readonly #failed = new Map<string, number>();
  readonly #observer: SyncObserver;

  constructor(registry: ModelRegistry, observer: SyncObserver = {}) {
    this.#registry = registry;
    this.#observer = observer;
  }

  /** @returns the version in production, of which both are now; while another process promotes the model, what the stage says */
  async check(name: string): Promise<ModelVersion | undefined> {
    const [staged, champion] = await Promise.all([
      this.#registry.resolve(name, { stage: 'Production' }),
      this.#registry.resolve(name, { alias: 'champion' }),
    ]);
    if (staged?.version === champion?.version) {
      if (staged !== undefined) this.#agreed.set(name, staged.version);
      return staged;
    }
    // Taken out of production, with the alias left behind.
    if (staged === undefined && champion?.stage === 'Archived') return undefined;
    const agreed = this.#agreed.get(name);
    const hasStageMoved =
      staged !== undefined && (champion === undefined || (champion.version === agreed && staged.version !== agreed));
    // An alias that was taken away, with the stage where it was: the stage says what is in production.
    const right = (hasStageMoved ? staged : champion) as ModelVersion;
    if (this.#failed.get(name) === right.version) return right;
    if (staged !== undefined && champion !== undefined && !hasStageMoved && staged.version !== agreed) {
      this.#observer.onDisagreement?.(name, champion.version, staged.version);
    }
    const moved = hasStageMoved ? 'was put into Production' : 'was given @champion';
    const why = { action: 'follow', by: 'headwater', reason: `version ${right.version} ${moved}` };
    try {
      return await this.#registry.exclusively(name, async () => {
        const followed = await this.#registry.transition(name, right.version, 'Production', why);
        this.#agreed.set(name, right.version);
        return followed;
      });
    } catch (error) {
      if (error instanceof PromotionConflictError) return staged;
      this.#failed.set(name, right.version);
      this.#observer.onFailure?.(name, right.version, error);
      return right;
    }
  }
}
