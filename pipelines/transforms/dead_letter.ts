/** A record that could not be used, with everything needed to look at it and to replay it. */
export interface DeadLetter {
  /** The record as it came, whole. */
  readonly payload: string;
  readonly reason: string;
  /** Which part refused it. */
  readonly stage: string;
  readonly attempt: number;
  /** ISO 8601. */
  readonly timestamp: string;
}
