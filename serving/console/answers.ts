import type { JsonValue } from '#kernel/json';
import type { ModelVersion } from '#registry/model_registry';
import type { Figures } from './figures.ts';

// What the console's routes answer; its pages read the same types.

export interface AlertStatus {
  readonly name: string;
  readonly severity: string;
  readonly kind: string;
  readonly state: string;
  readonly summary: string;
  readonly runbook: string;
  readonly since: string;
}

/** A dependency or a job of the platform. */
export interface PartStatus {
  readonly name: string;
  readonly kind: 'dependency' | 'job';
  readonly status: string;
  readonly reason: string | undefined;
}

/** A change that was made, by whom and why. */
export interface Change {
  /** ISO 8601. */
  readonly at: string;
  readonly kind: 'model' | 'routing' | 'run';
  /** The model or workflow. */
  readonly of: string;
  readonly what: string;
  readonly by: string;
  readonly reason: string;
}

export interface ChangeFilter {
  readonly kind?: Change['kind'] | undefined;
  readonly text?: string | undefined;
  readonly sinceMs?: number | undefined;
  readonly offset: number;
  readonly limit: number;
}

/** A page of a list. */
export interface Page<Row> {
  readonly total: number;
  readonly items: readonly Row[];
}

export interface Overview {
  readonly parts: readonly PartStatus[];
  /** Undefined: another system judges alerts, and does not answer. */
  readonly alerts: readonly AlertStatus[] | undefined;
  readonly figures: Figures | undefined;
  readonly models: readonly {
    readonly name: string;
    readonly variant: string;
    readonly version: number | undefined;
    readonly ready: boolean;
    readonly rejected: string | undefined;
    /** Rows that the model has answered in the last 24 hours. */
    readonly predictions: number;
  }[];
  readonly approvals: readonly { readonly run: string; readonly workflow: string; readonly state: string }[];
  readonly drifted: readonly {
    readonly model: string;
    readonly version: number;
    readonly columns: readonly string[];
  }[];
  /** Dead letters of the last 24 hours that were not replayed. */
  readonly letters: number;
  /** Of the last 24 hours, the newest first. */
  readonly changes: readonly Change[];
}

/** A model in Production or Staging that reads a feature, and how often it did. */
export interface Consumer {
  readonly model: string;
  readonly version: number;
  readonly stage: string;
  /** Rows that the model has answered in the last 24 hours, of this version. */
  readonly reads: number;
}

export interface ViewSummary {
  readonly view: string;
  readonly entity: string;
  readonly sources: readonly string[];
  readonly owner: string;
  readonly description: string;
  readonly tags: readonly string[];
  readonly mode: string;
  readonly features: number;
  /** Age of the newest row that was written here, s; undefined: none was. */
  readonly freshnessSeconds: number | undefined;
  readonly models: readonly string[];
  /** By models, in the last 24 hours. */
  readonly reads: number;
}

export interface FeatureSummary {
  readonly feature: string;
  readonly type: string;
  readonly kind: string;
  readonly formula: string;
  readonly description: string;
}

export interface ViewDetails extends ViewSummary {
  readonly joinKeys: readonly string[];
  readonly ttlMs: number;
  readonly versions: readonly string[];
  readonly services: readonly string[];
  readonly consumers: readonly Consumer[];
  readonly rules: readonly { readonly name: string; readonly description: string; readonly action: string }[];
  readonly contract: readonly { readonly term: string; readonly value: string; readonly isBroken: boolean }[];
  readonly items: readonly FeatureSummary[];
  /** Some entities that have a row. */
  readonly entities: readonly string[];
}

/** The distribution of a feature in one window. */
export interface FeatureWindow {
  readonly start: string;
  readonly rows: number;
  readonly nullShare: number;
  readonly mean: number | null;
  readonly quantiles: readonly number[];
  readonly top: readonly (readonly [value: string, share: number])[];
}

export interface FeatureDetails extends FeatureSummary {
  readonly view: string;
  readonly owner: string;
  readonly entity: string;
  readonly source: string;
  readonly fields: readonly string[];
  readonly inputs: readonly string[];
  /** The newest first. */
  readonly windows: readonly FeatureWindow[];
  readonly services: readonly string[];
  readonly consumers: readonly Consumer[];
  /** Of the newest window of each model's version that reads it. */
  readonly drift: readonly {
    readonly model: string;
    readonly version: number;
    readonly psi: number | null;
    readonly drifted: boolean;
  }[];
}

export interface ServiceDetails {
  readonly service: string;
  readonly entity: string;
  readonly owner: string;
  readonly description: string;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly view: string }[];
  readonly request: readonly { readonly name: string; readonly type: string }[];
  readonly consumers: readonly Consumer[];
}

export interface SourceDetails {
  readonly source: string;
  readonly eventTypes: readonly string[];
  readonly schemaVersion: number;
  readonly fields: readonly { readonly name: string; readonly type: string }[];
  readonly history: string;
  readonly views: readonly string[];
}

/** What is known of an entity. */
export interface EntityDetails {
  readonly entity: string;
  readonly id: string;
  readonly key: string;
  readonly views: readonly {
    readonly view: string;
    readonly eventTime: string;
    readonly computedAt: string;
    readonly values: Readonly<Record<string, JsonValue>>;
  }[];
  readonly predictions: readonly PredictionSummary[];
}

export interface PredictionSummary {
  readonly id: string;
  readonly row: number;
  readonly at: string;
  readonly model: string;
  readonly version: number;
  readonly variant: string | undefined;
  readonly entity: string | undefined;
  readonly prediction: string;
  readonly score: number | undefined;
}

/** A feature of an entity over time. */
export interface ValueHistory {
  readonly points: readonly { readonly at: string; readonly value: JsonValue }[];
}

export interface TopicStatus {
  readonly topic: string;
  readonly what: string;
  readonly partitions: readonly {
    readonly partition: string;
    /** Records that were ever written; undefined where they are not numbered. */
    readonly end: string | undefined;
    /** Of the job that reads it; undefined: none does. */
    readonly lag: number | undefined;
    /** It is behind, and the others of its topic are not. */
    readonly isSlow: boolean;
  }[];
  readonly reader: string | undefined;
}

export interface Message {
  readonly partition: string;
  readonly offset: string;
  readonly at: string;
  readonly key: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON where it is that; undefined: a tombstone, or bytes that are no UTF-8. */
  readonly value: JsonValue | undefined;
  readonly sizeBytes: number;
}

/** A dead letter, whole. */
export interface Letter {
  readonly where: string;
  readonly time: string;
  readonly stage: string;
  readonly reason: string;
  readonly attempt: number;
  readonly payload: string;
  readonly origin: string | undefined;
  /** Why it cannot be edited and sent again; undefined: it can. */
  readonly locked: string | undefined;
}

export interface VersionDetails {
  readonly version: ModelVersion;
  readonly task: string;
  /** What it was trained on: a feature service, or a view that is one. */
  readonly service: string | undefined;
  readonly isView: boolean;
  readonly inputs: readonly { readonly name: string; readonly type: string; readonly required: boolean }[];
  readonly classes: readonly string[];
  readonly threshold: number | undefined;
  /** In the last 24 hours. */
  readonly predictions: number;
}

/** From topics to models: what is computed of what. */
export interface Lineage {
  readonly nodes: readonly {
    readonly id: string;
    readonly kind: string;
    readonly label: string;
    readonly link: string;
  }[];
  readonly edges: readonly (readonly [from: string, to: string])[];
}

/** Something that a search has found. */
export interface Hit {
  readonly kind: string;
  readonly name: string;
  readonly detail: string;
  /** Within the console. */
  readonly link: string;
}

/** Who looks at the console. */
export interface Caller {
  readonly caller: string;
  readonly scopes: readonly string[];
}
