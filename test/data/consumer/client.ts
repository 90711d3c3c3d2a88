// The clients of a project, as TypeScript sees them.
import { createClient, type Prediction, RequestFailedError } from 'headwater/client';
import { type Broker, ConnectionError, type LogRecord, type Producer } from 'headwater/connectors';
import { createRegistry, type ModelRegistry, type ModelVersion } from 'headwater/registry';
import { needs, open } from 'headwater/serving';
import { rideView, service } from './features.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const exact = <T extends true>(holds: T): T => holds;

const client = createClient({ token: () => 'key', timeoutMs: 1_000 });
export async function read(): Promise<void> {
  const row = await client.features.of(rideView).get('r1');
  exact<
    Equal<
      typeof row,
      | {
          readonly fare: number | null;
          readonly count_1h: number;
          readonly count_24h: number;
          readonly sum_fare_24h: number;
        }
      | undefined
    >
  >(true);
  // @ts-expect-error: the view has no such feature
  row?.count_2h;
  const stored = await client.features.of(rideView).getStored('r1');
  exact<Equal<NonNullable<typeof stored>['count_1h']['value'], number>>(true);
  await client.features.vectors(service, [{ entity: 'r1' }]);
  const predicted: Prediction = await client.predictions.predict({ entity: 'r1' });
  exact<Equal<typeof predicted.prediction, string | number>>(true);
  // @ts-expect-error: neither features nor an entity
  await client.predictions.predict({ model: 'surge' });
}

export const isRefused = (error: unknown): boolean => error instanceof RequestFailedError && error.status === 400;

export const retried = async (broker: Broker, records: readonly LogRecord[]): Promise<void> => {
  const producer: Producer = broker.producer;
  await producer.send(
    'rides',
    records.map(({ value }) => ({ value })),
  );
  throw new ConnectionError('the broker', undefined);
};

const registry: ModelRegistry = createRegistry({ kind: 'local', directory: '/tmp/models' });
export const production = (): Promise<ModelVersion | undefined> => registry.resolve('surge', { stage: 'Production' });
// @ts-expect-error: no such stage
void registry.resolve('surge', { stage: 'Live' });
export const access = [open(), needs('predict:surge')];
