import type { OnDemandData, ViewData } from '#feature_store/definitions/definition_data';
import type { ServiceData } from '#feature_store/definitions/feature_service';

/** A definition as it was when it was applied. */
export type AppliedDefinition =
  | { readonly kind: 'view'; readonly id: string; readonly data: ViewData }
  | { readonly kind: 'on_demand'; readonly id: string; readonly data: OnDemandData }
  | { readonly kind: 'service'; readonly id: string; readonly data: ServiceData };

/** A back-fill that an apply has to do. */
export interface ApplyStep {
  /** Ids of views of one source. */
  readonly views: readonly string[];
  readonly source: string;
  /** Patterns of files, where they are not those of the source's history. */
  readonly in?: readonly string[];
}

/** The apply that runs, or was interrupted. */
export interface ApplyState {
  /** `host:pid:id` */
  readonly owner: string;
  /** Since its process was last heard of. */
  readonly idleMs: number;
  readonly steps: readonly ApplyStep[];
}

export interface ApplyClaim {
  readonly owner: string;
  /** Of an apply that was interrupted, which this one continues. */
  readonly replaces: string | undefined;
  readonly steps: readonly ApplyStep[];
  /** All of them: others are removed. */
  readonly definitions: readonly AppliedDefinition[];
}

/** What the offline store knows of definitions. */
export interface DefinitionStore {
  readDefinitions(): Promise<readonly AppliedDefinition[]>;
  /** Adds definitions, or replaces those of the same kind and id; others stay. */
  recordDefinitions(definitions: readonly AppliedDefinition[]): Promise<void>;
  /** @returns false, and changes nothing, when another apply runs */
  beginApply(claim: ApplyClaim): Promise<boolean>;
  readApply(): Promise<ApplyState | undefined>;
  /** Says that the apply's process lives, and what remains to be done. @returns false when another process has taken it over */
  holdApply(owner: string, steps?: readonly ApplyStep[]): Promise<boolean>;
  endApply(owner: string): Promise<void>;
  recordBackfill(events: number, seconds: number): Promise<void>;
  /** Events a second, of the newest back-fills; undefined when there was none. */
  readBackfillRate(): Promise<number | undefined>;
}
