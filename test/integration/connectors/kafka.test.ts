import { kafkaConfigSchema } from '#connectors/kafka/config';
import { KafkaBroker } from '#connectors/kafka/kafka_broker';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { describeBroker } from '../../conformance/connectors/broker_contract.ts';
import { serviceAddress } from '../service_address.ts';

describeBroker('Kafka', async () => {
  const brokers = serviceAddress('TEST_KAFKA_BROKERS').split(',');
  const broker = new KafkaBroker(
    { log: silentLogger, clock: systemClock },
    kafkaConfigSchema.parse({ kind: 'kafka', brokers }),
  );
  await broker.start();
  return broker;
});
