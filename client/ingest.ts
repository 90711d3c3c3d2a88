import type { FieldProblem } from './errors.ts';
import type { RequestOptions, Transport } from './transport.ts';

/** An event as a source's schema declares it. */
export type ClientEvent = Readonly<Record<string, unknown>>;

/** An event that the gateway has accepted. */
export interface IngestedEvent {
  readonly event_id: string;
  /** `duplicate`: the same event was accepted before. */
  readonly status: 'accepted' | 'duplicate';
}

/** What became of one event of a batch. */
export interface BatchedEvent {
  /** Of the event in the request, from 0. */
  readonly index: number;
  readonly event_id?: string;
  readonly status: 'accepted' | 'duplicate' | 'rejected' | 'failed';
  /** Of docs/errors.md; for `rejected` and `failed`. */
  readonly code?: string;
  readonly reason?: string;
  readonly fields?: readonly FieldProblem[];
}

/** How many events of a batch were accepted, and which were refused. */
export interface IngestedBatch {
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  /** May be sent again. */
  readonly failed: number;
  readonly results: readonly BatchedEvent[];
}

/** Sends events to the gateway. */
export class IngestClient {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Sends one event; resolves when it is durable. @throws {@link RequestFailedError} with the fields that the source's schema refuses */
  send(event: ClientEvent, options?: RequestOptions): Promise<IngestedEvent> {
    return this.#transport.post('/ingest', event, options);
  }

  /** Sends many events; the answer has a result for each. */
  sendBatch(events: readonly ClientEvent[], options?: RequestOptions): Promise<IngestedBatch> {
    return this.#transport.post('/ingest/batch', events, options);
  }
}
