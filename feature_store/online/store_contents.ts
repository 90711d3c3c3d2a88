import type { EntityKey } from '#feature_store/definitions/values/entity_key';

/** A page of a refill that has been written, to resume after. */
export interface RefillProgress {
  /** Of the refill; a store that is emptied again begins another. */
  readonly token: string;
  /** View ids that are done. */
  readonly done: readonly string[];
  /** The view under way, and its last entity that was written. */
  readonly view?: string | undefined;
  readonly after?: EntityKey | undefined;
  readonly rows: number;
}

/**
 * What an online store that can be emptied from outside (FLUSHALL, an empty failover) knows of its own completeness, kept in the store itself:
 * marks that only a finished refill sets, which vanish with the rows.
 */
export interface StoreContents {
  /** False from the moment that a check or a read finds the marks gone until a refill has set them again; false before the first check. */
  readonly isComplete: boolean;
  /** Looks at all marks and at the servers' identities. @throws when the store does not answer */
  check(): Promise<boolean>;
  /** Confirms after reads that found nothing that these keys were not emptied. Returns false when they may have been. */
  confirmMissing(entityKeys: readonly EntityKey[]): Promise<boolean>;
  /** Becomes the one worker that refills, for `ttlMs`, or stays it. Returns false while another one is. */
  lock(owner: string, ttlMs: number): Promise<boolean>;
  unlock(owner: string): Promise<void>;
  /** Returns where the refill of this emptied store stands; one that was begun by another worker is resumed. */
  begin(owner: string): Promise<RefillProgress>;
  /** Returns false when `owner` is not the worker any more, or the store was emptied meanwhile. */
  save(owner: string, progress: RefillProgress): Promise<boolean>;
  /** Marks the store complete. Returns false when it was emptied meanwhile, or has changed its server. */
  finish(owner: string, progress: RefillProgress): Promise<boolean>;
}
