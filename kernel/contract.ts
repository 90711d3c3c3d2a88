/**
 * One thing that every implementation of a contract does. Any test runner runs it:
 *
 * ```ts
 * for (const { name, timeoutMs, run } of brokerContract(open)) test(name, { timeout: timeoutMs }, run);
 * ```
 */
export interface ContractCase {
  readonly name: string;
  /** It takes no longer with an implementation that works, ms. */
  readonly timeoutMs: number;
  /** @throws AssertionError of node:assert when the contract is broken */
  run(): Promise<void>;
}
