declare module 'cluster-key-slot' {
  /** Returns the slot of a key in a Redis cluster, 0 to 16,383. */
  export default function calculateSlot(key: string): number;
}
