/** Something that runs until it is stopped. */
export interface Soak {
  /** Elements so far. */
  events(): number;
  stop(): Promise<void>;
}
