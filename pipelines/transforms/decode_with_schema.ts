import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import { Delivery, type DeliveryDeps } from '#connectors/delivery';
import { type SchemaSerde, UndecodableRecordError } from '#connectors/schemas/schema_registry';
import { type DoFn, outputTag, type ProcessContext } from '#pipelines/engine/dofn';
import type { KV, PCollection, PTransform } from '#pipelines/model/pcollection';
import { parDoTagged } from '#pipelines/model/transforms';

const UNDECODABLE = outputTag<DeadLetter>('undecodable');

/** A record's key and its bytes, as a source puts them out. */
export type RawRecord = KV<string | undefined, Uint8Array>;

/**
 * Decodes records by the schemas they name. Those that cannot be decoded come out apart, as dead letters with their bytes in base64; while the
 * registry is away decoding waits.
 */
export function decodeWithSchema<T>(
  serde: SchemaSerde,
  deps: DeliveryDeps,
  name = 'DecodeWithSchema',
): PTransform<
  PCollection<RawRecord>,
  { readonly main: PCollection<T>; readonly undecodable: PCollection<DeadLetter> }
> {
  return parDoTagged(new Decode<T>(serde, deps), { undecodable: UNDECODABLE }, { name });
}

class Decode<T> implements DoFn<RawRecord, T> {
  readonly #serde: SchemaSerde;
  readonly #delivery: Delivery;

  constructor(serde: SchemaSerde, deps: DeliveryDeps) {
    this.#serde = serde;
    this.#delivery = new Delivery(deps, { target: 'schema registry' });
  }

  async process({ value }: RawRecord, context: ProcessContext<T>): Promise<void> {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    try {
      context.output((await this.#delivery.run(() => this.#serde.decode(bytes))) as T);
    } catch (error) {
      if (!(error instanceof UndecodableRecordError)) throw error;
      context.outputTo(UNDECODABLE, {
        payload: bytes.toString('base64'),
        reason: error.message,
        stage: 'pipeline.decode_with_schema',
        attempt: 1,
        timestamp: new Date(context.clock.now()).toISOString(),
      });
    }
  }
}
