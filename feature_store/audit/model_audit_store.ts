/** What was done to a version of a model, by whom and why. */
export interface ModelAuditEntry {
  readonly model: string;
  readonly version: number;
  readonly action: string;
  readonly stage: string;
  /** The version that was in its place. */
  readonly replaced: number | undefined;
  readonly by: string;
  readonly reason: string;
  readonly gates: readonly object[];
  readonly metrics: Readonly<Record<string, number>>;
  readonly atMs: number;
}

/** Changes to versions of models: promotions, rollbacks, registrations. */
export interface ModelAuditStore {
  write(entry: ModelAuditEntry): Promise<void>;
  /** Returns the newest first. */
  list(model: string, limit: number): Promise<readonly ModelAuditEntry[]>;
}
