import { FeaturesClient } from './features.ts';
import type { IngestClient } from './ingest.ts';
import { type ClientOptions, listenersOf } from './listeners.ts';
import type { PredictionsClient } from './predictions.ts';

/** A client of one platform. */
export interface HeadwaterClient {
  readonly ingest: IngestClient;
  readonly features: FeaturesClient;
  readonly predictions: PredictionsClient;
}

/**
 * Creates a client: `createClient({ token }).features.of(spending).get('c1')`. It opens nothing until a request is sent, and holds no connection itself.
 */
export function createClient(options: ClientOptions = {}): HeadwaterClient {
  const { features, ...others } = listenersOf(options);
  return { ...others, features: new FeaturesClient(features) };
}
