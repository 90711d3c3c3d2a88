import type { JsonObject } from '#kernel/json';
import type { ModelPackage } from './packages/model_package.ts';

/** Stages of a version, in MLflow's words. */
export const STAGES = ['None', 'Staging', 'Production', 'Archived'] as const;
/** A stage of a version. */
export type Stage = (typeof STAGES)[number];

/** A registered version of a model. */
export interface ModelVersion {
  readonly name: string;
  /** Counts from 1, as in MLflow. */
  readonly version: number;
  readonly stage: Stage;
  readonly aliases: readonly string[];
  readonly createdAtMs: number;
  readonly description: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly metrics: Readonly<Record<string, number>>;
  /** The training run it came from; empty when unknown. */
  readonly runId: string;
}

/** One try of a search for parameters. */
export interface Trial {
  /** Counts from 1. */
  readonly number: number;
  readonly params: Readonly<Record<string, string>>;
  readonly metrics: Readonly<Record<string, number>>;
  readonly startedMs: number;
  readonly finishedMs: number;
}

/** A version that is to be registered. */
export interface NewModelVersion {
  readonly name: string;
  readonly package: ModelPackage;
  readonly metrics: Readonly<Record<string, number>>;
  readonly params: Readonly<Record<string, string>>;
  readonly tags?: Readonly<Record<string, string>>;
  readonly description?: string;
  /** Kept as runs within the version's own, where the registry knows runs. */
  readonly trials?: readonly Trial[];
  /** Files that go with the version, such as its evaluation report, by name. */
  readonly attachments?: ReadonlyMap<string, Uint8Array>;
}

/**
 * Which version answers for a name: `models:/fraud_detector/3`, `models:/fraud_detector/Production`,
 * `models:/fraud_detector@champion`.
 */
export type VersionSelector = { readonly version: number } | { readonly stage: Stage } | { readonly alias: string };

/** Where models live: MLflow, or a folder in embedded mode. Stage and alias stay in step: Production ↔ champion, Staging ↔ challenger. */
export interface ModelRegistry {
  readonly kind: string;
  register(model: NewModelVersion): Promise<ModelVersion>;
  listModels(): Promise<readonly string[]>;
  listVersions(name: string): Promise<readonly ModelVersion[]>;
  /** @returns undefined when nothing matches; the newest when several versions are in the stage */
  resolve(name: string, selector: VersionSelector): Promise<ModelVersion | undefined>;
  /**
   * Returns what changes when a stage or alias of a model moves, by model, in two requests at most; models that these do not cover are left out. Absent where
   * {@link resolve} takes no requests.
   */
  fingerprints?(): Promise<ReadonlyMap<string, string>>;
  /** Moves a version to a stage; the version that was in Production or Staging there is archived. */
  transition(name: string, version: number, stage: Stage, audit?: JsonObject): Promise<ModelVersion>;
  setAlias(name: string, alias: string, version: number): Promise<void>;
  setTag(name: string, version: number, key: string, value: string): Promise<void>;
  /** Does `work` while no other process does such work on the model. @throws {PromotionConflictError} when one does */
  exclusively<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** @throws {ArtifactIntegrityError} when the bytes do not match the recorded hashes */
  download(model: ModelVersion): Promise<ModelPackage>;
  /** A file that was registered with the version; undefined when there is none of that name. */
  attachment(model: ModelVersion, name: string): Promise<Uint8Array | undefined>;
  close(): Promise<void>;
}
