import { IngestClient } from './ingest.ts';
import { PredictionsClient } from './predictions.ts';
import { Transport, type TransportOptions } from './transport.ts';

/** Where the listeners of a platform are; the defaults are those of `headwater dev`. */
export interface ClientOptions extends TransportOptions {
  /** Of the gateway; default: `http://127.0.0.1:8080`. */
  readonly gatewayUrl?: string;
  /** Of the feature API; default: `http://127.0.0.1:8083`. */
  readonly featuresUrl?: string;
  /** Of serving; default: `http://127.0.0.1:8000`. */
  readonly servingUrl?: string;
}

/** Returns the client of each listener. They open nothing until a request is sent. */
export function listenersOf(options: ClientOptions) {
  const {
    gatewayUrl = 'http://127.0.0.1:8080',
    featuresUrl = 'http://127.0.0.1:8083',
    servingUrl = 'http://127.0.0.1:8000',
    ...transport
  } = options;
  return {
    ingest: new IngestClient(new Transport(gatewayUrl, transport)),
    features: new Transport(featuresUrl, transport),
    predictions: new PredictionsClient(new Transport(servingUrl, transport)),
  };
}
