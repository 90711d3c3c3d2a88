import { COMPATIBILITY, SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry';
import { z } from 'zod';
import { messageOf, PlatformError } from '#kernel/errors';
import { ConnectionError } from './errors.ts';

export const schemaRegistryConfigSchema = z.strictObject({
  url: z.url(),
  username: z.string().optional(),
  password: z.string().optional(),
});
export type SchemaRegistryConfig = z.infer<typeof schemaRegistryConfigSchema>;

/** A record's bytes are not what its schema says, or name no schema. */
export class UndecodableRecordError extends PlatformError {
  readonly code = 'CONNECTOR_UNDECODABLE_RECORD';

  constructor(problem: string, cause?: unknown) {
    super(`the record cannot be decoded: ${problem}`, { fault: 'caller', retryable: false, cause });
  }
}

export type SchemaSource =
  | { readonly type: 'avro'; readonly schema: object }
  | { readonly type: 'protobuf' | 'json'; readonly schema: string };

const MAGIC = 0;
/** Magic byte and schema id. */
const PREFIX_BYTES = 5;
const TYPES = { avro: SchemaType.AVRO, protobuf: SchemaType.PROTOBUF, json: SchemaType.JSON } as const;

/**
 * Records in Confluent's wire format (a zero byte, the schema's id, then Avro, Protobuf or JSON), with schemas from a registry that speaks
 * Confluent's protocol. Schemas are fetched once.
 */
export class SchemaSerde {
  readonly #registry: SchemaRegistry;
  readonly #url: string;

  constructor({ url, username, password }: SchemaRegistryConfig) {
    this.#url = url;
    this.#registry = new SchemaRegistry({
      host: url,
      ...(username === undefined ? {} : { auth: { username, password: password ?? '' } }),
    });
  }

  /**
   * @throws {@link UndecodableRecordError} for bytes that are not of a schema
   * @throws {@link ConnectionError} when the registry does not answer: trying again may help
   */
  async decode(bytes: Buffer): Promise<unknown> {
    if (bytes.length < PREFIX_BYTES || bytes[0] !== MAGIC) {
      throw new UndecodableRecordError(
        `it does not begin with a zero byte and a schema's id, but with ${bytes.subarray(0, 8).toString('hex') || 'nothing'}`,
      );
    }
    const id = bytes.readInt32BE(1);
    try {
      await this.#registry.getSchema(id);
    } catch (error) {
      throw this.#understood(error, `schema ${id}`);
    }
    try {
      return await this.#registry.decode(bytes);
    } catch (error) {
      throw new UndecodableRecordError(`its bytes do not fit schema ${id}: ${messageOf(error)}`, error);
    }
  }

  /**
   * @param compatibility - what the subject is set to when it is new, and must be set to when it is not
   * @returns the schema's id, for {@link encode}; the same schema again has the same
   */
  async register(
    subject: string,
    { type, schema }: SchemaSource,
    compatibility: keyof typeof COMPATIBILITY = 'BACKWARD',
  ): Promise<number> {
    const text = typeof schema === 'string' ? schema : JSON.stringify(schema);
    try {
      const options = { subject, compatibility: COMPATIBILITY[compatibility] };
      const { id } = await this.#registry.register({ type: TYPES[type], schema: text }, options);
      return id;
    } catch (error) {
      throw this.#understood(error, `subject ${subject}`);
    }
  }

  /** @throws {@link UndecodableRecordError} for a value that the schema does not take */
  async encode(schemaId: number, value: unknown): Promise<Buffer> {
    try {
      return await this.#registry.encode(schemaId, value);
    } catch (error) {
      throw new UndecodableRecordError(`the value does not fit schema ${schemaId}: ${messageOf(error)}`, error);
    }
  }

  #understood(error: unknown, what: string): PlatformError {
    const { status, name } = error as { readonly status?: number; readonly name?: string };
    const isOther = name === 'ConfluentSchemaRegistryCompatibilityError';
    if (isOther || (status !== undefined && status >= 400 && status < 500 && status !== 429)) {
      return new UndecodableRecordError(
        `${what} is not in the registry ${this.#url}, or is refused: ${messageOf(error)}`,
        error,
      );
    }
    return new ConnectionError(`the schema registry ${this.#url}`, error);
  }
}
