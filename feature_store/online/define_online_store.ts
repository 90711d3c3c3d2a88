import type { z } from 'zod';
import type { Extension } from '#configs/extension';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import type { OnlineStore } from './online_store.ts';

/** What an online store of a project is given. */
export interface OnlineStoreDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Views whose rows it holds. */
  readonly views: readonly FeatureView[];
  /** How long a row may be served after its event, ms, by view id (`fraud@1`); 0: without end. */
  readonly ttlMs: ReadonlyMap<string, number>;
  /** Before names on servers that others use as well; undefined: none. */
  readonly namespace?: string | undefined;
}

/** An online store of a project's own: `onlineStore: { kind: extension, use: <name>, settings: { … } }` selects it. */
export interface OnlineStoreExtension<Settings = unknown> extends Extension<Settings> {
  /** Returns a store that is not started; its `start` connects. */
  create(deps: OnlineStoreDeps, settings: Settings): OnlineStore;
}

/** Defines an online store of the project's own, for `stores.online` of `defineConfig`. `onlineStoreContract` of `headwater/testing` tests it. */
export const defineOnlineStore = <Schema extends z.ZodType>(store: {
  readonly name: string;
  readonly settings: Schema;
  create(deps: OnlineStoreDeps, settings: z.output<Schema>): OnlineStore;
}): OnlineStoreExtension => Object.freeze({ ...store }) as unknown as OnlineStoreExtension;
