import type { Erasure, StoredErasures } from './erasures.ts';

/** Which entities were erased. */
export interface ErasureStore {
  /** Returns erasures of that time and later. */
  read(sinceMs: number): Promise<StoredErasures>;
  write(erasure: Erasure): Promise<void>;
  /** Records that the feature pipeline has removed the entity from its state. */
  markApplied(erasure: Erasure): Promise<void>;
  isApplied(fingerprint: string): Promise<boolean>;
}
