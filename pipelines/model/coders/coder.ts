import type { ByteReader, ByteWriter } from './bytes.ts';

/** Gives coders their ids in a graph; apache-beam's PipelineContext is one. */
export interface CoderIds {
  getCoderId(coder: never): string;
}

export interface CoderProto {
  readonly spec: { readonly urn: string; readonly payload: Uint8Array };
  readonly componentCoderIds: string[];
}

/**
 * Turns values into bytes and back, byte for byte as Beam's other SDKs do.
 *
 * `nested`: the encoding must say where it ends. Outermost (false), a string or bytes are the whole stream.
 * Source: Apache Beam, beam_runner_api.proto (StandardCoders) and standard_coders.yaml.
 */
export interface Coder<T> {
  readonly urn: string;
  readonly payload: Uint8Array;
  readonly components: readonly AnyCoder[];
  encode(value: T, out: ByteWriter, nested: boolean): void;
  decode(from: ByteReader, nested: boolean): T;
  /** The form that goes into a graph. */
  toProto(ids: CoderIds): CoderProto;
}

/** A coder of whatever: where the type of its values is known only at run time. */
// biome-ignore lint/suspicious/noExplicitAny: a coder both takes and gives its type, so neither unknown nor never fits
export type AnyCoder = Coder<any>;

const NO_PAYLOAD = new Uint8Array(0);

export abstract class BaseCoder<T> implements Coder<T> {
  readonly urn: string;
  readonly payload: Uint8Array;
  readonly components: readonly AnyCoder[];

  constructor(urn: string, components: readonly AnyCoder[] = [], payload: Uint8Array = NO_PAYLOAD) {
    this.urn = urn;
    this.components = components;
    this.payload = payload;
  }

  abstract encode(value: T, out: ByteWriter, nested: boolean): void;
  abstract decode(from: ByteReader, nested: boolean): T;

  toProto(ids: CoderIds): CoderProto {
    return {
      spec: { urn: this.urn, payload: this.payload },
      componentCoderIds: this.components.map((component) => ids.getCoderId(component as never)),
    };
  }
}
