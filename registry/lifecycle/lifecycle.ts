import { messageOf } from '#kernel/errors';
import { NothingToRollBackError, PromotionRefusedError, UnknownModelError } from '../errors.ts';
import type { ModelRegistry, ModelVersion, Stage } from '../model_registry.ts';
import type { ModelPackage, ModelSignature } from '../packages/model_package.ts';
import { checkGates, type Examination, type GateResult } from './gates.ts';
import { type GatesConfig, gatesConfigSchema } from './gates_config.ts';

/** Who did it, and why. */
export interface Authorship {
  readonly by: string;
  readonly reason: string;
}

export interface AuditEntry extends Authorship {
  readonly model: string;
  readonly version: number;
  readonly action: 'promote' | 'rollback' | 'archive';
  readonly stage: Stage;
  /** The version that was in its place. */
  readonly replaced: number | undefined;
  readonly gates: readonly GateResult[];
  readonly metrics: Readonly<Record<string, number>>;
  readonly atMs: number;
}

export interface PromotionOptions extends Authorship {
  readonly stage: 'Staging' | 'Production';
  /** Another person than `by`, where approval is required. */
  readonly approvedBy?: string;
  /** Promotes whatever the gates say; they are kept in the audit trail. */
  readonly force?: boolean;
}

export interface LifecycleDeps {
  readonly registry: ModelRegistry;
  /** Runs a model on its golden rows. @throws what is wrong with it */
  readonly examine: (model: ModelPackage) => Promise<Examination>;
  readonly checkSignature: (signature: ModelSignature) => readonly string[];
  /** Keeps what was done, beside the registry's own trail. */
  readonly record?: (entry: AuditEntry) => Promise<void>;
}

/** On a version in production: which one was there before it. */
export const REPLACED_TAG = 'headwater.replaced';

/** Moves versions through their stages: checked, one at a time, and written down. */
export class Lifecycle {
  readonly #deps: LifecycleDeps;
  readonly #gates: Readonly<Record<string, GatesConfig>>;

  /** @param gates - by model; others have those of the defaults */
  constructor(deps: LifecycleDeps, gates: Readonly<Record<string, GatesConfig>> = {}) {
    this.#deps = deps;
    this.#gates = gates;
  }

  /** Every gate with its outcome; nothing is changed. @throws {@link UnknownModelError} */
  async validate(name: string, version: number): Promise<readonly GateResult[]> {
    const { registry, examine, checkSignature } = this.#deps;
    const [found, champion] = await Promise.all([
      this.#version(name, version),
      registry.resolve(name, { stage: 'Production' }),
    ]);
    const model = await registry.download(found);
    const examined = await examine(model).catch((error: unknown) => ({ problem: messageOf(error) }));
    const candidate = { version: found, package: model, examined, signatureProblems: checkSignature(model.signature) };
    return checkGates(candidate, champion?.version === version ? undefined : champion, this.#gatesOf(name));
  }

  /**
   * @returns the version, in its stage
   * @throws {@link PromotionRefusedError} naming every gate that was not passed; {@link PromotionConflictError} when another promotion of the
   *   model is under way
   */
  async promote(name: string, version: number, options: PromotionOptions): Promise<ModelVersion> {
    const { stage, by, approvedBy, force = false } = options;
    const gates = [...(await this.validate(name, version))];
    if (stage === 'Production' && this.#gatesOf(name).approval) {
      const passed = approvedBy !== undefined && approvedBy !== by;
      const detail = passed
        ? `approved by ${approvedBy}`
        : 'production requires the approval of another person than the one who promotes: --approved-by';
      gates.push({ gate: 'approval', passed, detail });
    }
    const failed = gates.filter(({ passed }) => !passed);
    if (failed.length > 0 && !force) {
      throw new PromotionRefusedError(
        name,
        version,
        failed.map(({ gate, detail }) => `${gate}: ${detail}`),
      );
    }
    return this.#move('promote', name, version, stage, options, gates);
  }

  /** Puts the version back that the one in production replaced. @throws {@link NothingToRollBackError} */
  async rollback(name: string, authorship: Authorship): Promise<ModelVersion> {
    const current = await this.#deps.registry.resolve(name, { stage: 'Production' });
    const previous = current === undefined ? undefined : await this.#replacedBy(current);
    if (current === undefined || previous === undefined) throw new NothingToRollBackError(name);
    return this.#move('rollback', name, previous.version, 'Production', authorship, []);
  }

  async archive(name: string, version: number, authorship: Authorship): Promise<ModelVersion> {
    await this.#version(name, version);
    return this.#move('archive', name, version, 'Archived', authorship, []);
  }

  /** As the trail says; for promotions made elsewhere, such as in MLflow's UI, the newest version that was archived. */
  async #replacedBy({ name, version, tags }: ModelVersion): Promise<ModelVersion | undefined> {
    const versions = await this.#deps.registry.listVersions(name);
    const replaced = Number(tags[REPLACED_TAG]);
    return (
      versions.find((candidate) => candidate.version === replaced) ??
      versions.findLast((candidate) => candidate.stage === 'Archived' && candidate.version !== version)
    );
  }

  #move(
    action: AuditEntry['action'],
    name: string,
    version: number,
    stage: Stage,
    { by, reason }: Authorship,
    gates: readonly GateResult[],
  ): Promise<ModelVersion> {
    const { registry, record } = this.#deps;
    return registry.exclusively(name, async () => {
      const held = await registry.resolve(name, { stage });
      const replaced = held?.version === version ? undefined : held?.version;
      const moved = await registry.transition(name, version, stage, {
        action,
        by,
        reason,
        ...(replaced === undefined ? {} : { replaced }),
      });
      // A version that was rolled back to keeps what it had replaced itself: one can go back further.
      if (action === 'promote' && stage === 'Production' && replaced !== undefined) {
        await registry.setTag(name, version, REPLACED_TAG, String(replaced));
      }
      const { metrics } = moved;
      await record?.({ model: name, version, action, stage, by, reason, replaced, gates, metrics, atMs: Date.now() });
      return moved;
    });
  }

  #gatesOf(name: string): GatesConfig {
    return this.#gates[name] ?? DEFAULT_GATES;
  }

  async #version(name: string, version: number): Promise<ModelVersion> {
    const { registry } = this.#deps;
    const found = await registry.resolve(name, { version });
    if (found !== undefined) return found;
    const known = (await registry.listVersions(name)).map((each) => `version ${each.version}`);
    throw new UnknownModelError(`${name} version ${version}`, known.length > 0 ? known : await registry.listModels());
  }
}

const DEFAULT_GATES = gatesConfigSchema.parse({});
