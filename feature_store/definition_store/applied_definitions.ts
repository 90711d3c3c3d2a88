import type { OnDemandData, ViewData } from '#feature_store/definitions/definition_data';
import type { ServiceData } from '#feature_store/definitions/feature_service';
import type { ViewDescription } from '#feature_store/definitions/feature_view';
import type { ViewReference } from '#feature_store/definitions/values/feature_row';

/** A definition as data. */
export type DefinitionRecord =
  | { readonly kind: 'view'; readonly id: string; readonly data: ViewData }
  | { readonly kind: 'on_demand'; readonly id: string; readonly data: OnDemandData }
  | { readonly kind: 'service'; readonly id: string; readonly data: ServiceData };

/** A definition in use: `data` is what rows are written with, and since when, `applied` what `headwater apply` has computed the history of, null where there is none. */
export type StoredDefinition = { readonly id: string; readonly recordedAtMs: number } & (
  | { readonly kind: 'view'; readonly data: ViewData; readonly applied: ViewData | null }
  | { readonly kind: 'on_demand'; readonly data: OnDemandData; readonly applied: OnDemandData | null }
  | { readonly kind: 'service'; readonly data: ServiceData; readonly applied: ServiceData | null }
);

/** The process of an apply. */
export interface ApplyOwner {
  /** Of the run. */
  readonly id: string;
  readonly host: string;
  readonly bootId: string;
  readonly pidNamespace: string;
  readonly pid: number;
  readonly startTime: string;
}

/** The apply that runs, or was interrupted. */
export interface ApplyLock {
  readonly owner: ApplyOwner;
  /** Since its process last wrote that it runs. */
  readonly idleMs: number;
}

/** Whether the first views of a store have events of before to be computed from: a stream that begins with them has none, and they count as applied. */
export type FirstDefinitions = 'have_history' | 'have_no_history';

/** What the offline store keeps about definitions. */
export interface DefinitionStore {
  /** Returns what a version of a view was when it was last in use; undefined when it never was. */
  readView(view: ViewReference): Promise<ViewDescription | undefined>;
  writeView(description: ViewDescription): Promise<void>;
  readDefinitions(): Promise<readonly StoredDefinition[]>;
  /** Adds definitions that rows are written with, or replaces those of the same kind and id; others stay. */
  recordDefinitions(definitions: readonly DefinitionRecord[], first: FirstDefinitions): Promise<void>;
  /** Notes that the history of definitions was computed. */
  recordApplied(definitions: readonly DefinitionRecord[]): Promise<void>;
  /** Removes definitions; rows that were written with them stay. */
  removeDefinitions(definitions: readonly Pick<DefinitionRecord, 'kind' | 'id'>[]): Promise<void>;
  /**
   * Takes the lock of `headwater apply`.
   *
   * @param replaces - id of an interrupted apply that this one continues
   * @returns false, and changes nothing, when another apply has it
   */
  lockApply(owner: ApplyOwner, replaces: string | undefined): Promise<boolean>;
  readApplyLock(): Promise<ApplyLock | undefined>;
  /** Notes that the apply runs. @returns false when another process has taken the lock over */
  holdApplyLock(id: string): Promise<boolean>;
  unlockApply(id: string): Promise<void>;
  /** Notes how long a back-fill took. */
  recordBackfill(events: number, seconds: number): Promise<void>;
  /** Returns events a second of the newest back-fills; undefined when there was none. */
  readBackfillRate(): Promise<number | undefined>;
}
