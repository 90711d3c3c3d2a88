import { PromotionConflictError } from '../errors.ts';
import type { ModelRegistry, ModelVersion } from '../model_registry.ts';

/**
 * Keeps the stage Production and the alias @champion of a model on one version, whichever of the two is moved: MLflow's user interface
 * knows both, as two things. What has moved since they last agreed wins; when that cannot be known, the stage does. Other versions in
 * Production, which that interface leaves there unless told otherwise, are archived.
 */
export class StageAliasSync {
  readonly #registry: ModelRegistry;
  /** The version both were on when they were last seen to agree, by model. */
  readonly #agreed = new Map<string, number>();
  /** The version that could not be moved to, by model: a client that may only read does not try it again each time. */
  readonly #failed = new Map<string, number>();
  readonly #onFailure: (name: string, version: number, error: unknown) => void;

  /** @param onFailure - told once for a version: the other one could not be moved, and the version is followed all the same */
  constructor(registry: ModelRegistry, onFailure: (name: string, version: number, error: unknown) => void = () => {}) {
    this.#registry = registry;
    this.#onFailure = onFailure;
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
    const hasStageMoved = staged !== undefined && (staged.version !== this.#agreed.get(name) || champion === undefined);
    // An alias that was taken away, with the stage where it was: the stage says what is in production.
    const right = (hasStageMoved ? staged : champion) as ModelVersion;
    if (this.#failed.get(name) === right.version) return right;
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
      this.#onFailure(name, right.version, error);
      return right;
    }
  }
}
