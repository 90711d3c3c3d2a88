import { describe, test } from '@jest/globals';
import type { ModelRegistry } from '#registry/model_registry';
import { registryContract } from '#registry/testing/registry_contract';

/** Runs the contract that users' registries have too. */
export function describeRegistry(name: string, open: () => ModelRegistry): void {
  describe(`${name} keeps the contract of a model registry`, () => {
    for (const { name: each, timeoutMs, run } of registryContract(open)) test(each, run, timeoutMs);
  });
}
