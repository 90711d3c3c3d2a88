import type { z } from 'zod';
import type { Extension, MethodList } from '#configs/extension';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import type { Service } from '#kernel/lifecycle';
import type { EventTime } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import type { OfflineStore } from './offline_store.ts';

/** The history of feature rows in a store of a project's own. Labels, predictions, audits and workflows stay in the platform's database. */
export interface OwnOfflineStore extends OfflineStore, Service {
  /** Reads something of its own. Absent where the store is of this process. @throws {PlatformError} while it does not answer */
  checkHealth?(): Promise<void>;
  /** Deletes rows with earlier event times, and what they held before; with `dryRun` only counts the rows. @returns how many */
  deleteBefore(time: EventTime, dryRun: boolean): Promise<number>;
  /**
   * Returns an entity's rows in every view, or what they held before they were replaced (`revisions`), in a stable order: for a person's request
   * for their data.
   */
  rowsOf(
    entityKey: EntityKey,
    kind: 'rows' | 'revisions',
    page: { readonly offset: number; readonly limit: number },
  ): Promise<readonly FeatureRow[]>;
}

/** What an offline store of a project is given. */
export interface OfflineStoreDeps {
  readonly log: Logger;
  /** Views that are defined: `storedValuesOf(view)` reads their values from JSON. */
  readonly views: readonly FeatureView[];
  /** Before names on servers that others use as well; undefined: none. */
  readonly namespace?: string | undefined;
}

/** An offline store of a project's own: `offlineStore: { …, features: { kind: extension, use: <name>, settings: { … } } }` selects it. */
export interface OfflineStoreExtension<Settings = unknown> extends Extension<Settings> {
  /** Returns a store that is not started; its `start` connects. */
  create(deps: OfflineStoreDeps, settings: Settings): OwnOfflineStore;
}

/** Defines an offline store of the project's own, for `stores.offline` of `defineConfig`. `offlineStoreContract` of `headwater/testing` tests it. */
export const defineOfflineStore = <Schema extends z.ZodType>(store: {
  readonly name: string;
  readonly settings: Schema;
  create(deps: OfflineStoreDeps, settings: z.output<Schema>): OwnOfflineStore;
}): OfflineStoreExtension => Object.freeze({ ...store }) as unknown as OfflineStoreExtension;

export const FEATURE_METHODS: MethodList<OfflineStore> = {
  ...{ write: true, writeFeatures: true, settleBackfill: true, pointInTimeJoin: true, countRows: true, timesOf: true },
  ...{ newestRows: true, newestOf: true, newestBy: true, sampleEntities: true, rowsComputedSince: true },
  ...{ rowsBetween: true, eraseRowsComputedBy: true },
};

export const OWN_STORE_METHODS: MethodList<OwnOfflineStore> = {
  ...FEATURE_METHODS,
  ...{ start: true, drain: true, stop: true, deleteBefore: true, rowsOf: true },
};
