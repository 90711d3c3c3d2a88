import { describe, test } from '@jest/globals';
import type { Broker } from '#connectors/connector';
import { type BrokerTraits, brokerContract } from '#connectors/testing/broker_contract';

export { LOG_TRAITS, pollUntil } from '#connectors/testing/broker_contract';

/** Runs the contract that users' connectors have too. `create` makes a started client of the same broker each time. */
export function describeBroker(name: string, create: () => Promise<Broker>, traits?: BrokerTraits): void {
  describe(`${name} keeps the contract of a broker`, () => {
    for (const { name: each, timeoutMs, run } of brokerContract(create, traits)) test(each, run, timeoutMs);
  });
}
