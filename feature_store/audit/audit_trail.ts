/** An entry of the trail, and all before it. */
export interface AuditHash {
  readonly id: string;
  /** Hexadecimal. */
  readonly hash: string;
}

/** Whether the trail of what was done by whom is as it was written. */
export interface AuditCheck {
  readonly entries: number;
  /** Hash of the newest entry, hex: kept elsewhere, it tells later that none before it was taken away. */
  readonly head: string | undefined;
  /** Entries and rows that were changed, or are gone. */
  readonly problems: readonly string[];
}

/** The chain of who changed models and routing, and when. */
export interface AuditTrail {
  /** @param head - a hash that an earlier check returned */
  verify(head?: string): Promise<AuditCheck>;
  /** Returns entries of the trail in their order, the first `from` left out. */
  readHashes(from: number, limit: number): Promise<readonly AuditHash[]>;
}
