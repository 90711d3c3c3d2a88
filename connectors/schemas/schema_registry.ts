import avsc, { type ForSchemaOptions } from 'avsc';
import { z } from 'zod';
import { messageOf, PlatformError } from '#kernel/errors';
import { textOf } from '#kernel/text/text_of';
import { ConnectionError } from '../errors.ts';
import { ProtobufFile } from './protobuf_messages.ts';
import { AVRO_OPTIONS, DialectAjv } from './schema_types.ts';

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

/** A schema as the registry gives it. */
const registeredSchema = z.object({
  schema: z.string(),
  schemaType: z.string().optional(),
  references: z
    .array(z.object({ name: z.string(), subject: z.string(), version: z.union([z.int(), z.string()]) }))
    .nullish(),
});
type RegisteredSchema = z.infer<typeof registeredSchema>;

/** Reads and writes what comes after the schema's id. */
interface Codec {
  decode(payload: Buffer): unknown;
  encode(value: unknown, message: string | undefined): Buffer;
}

const MAGIC = 0;
const REQUEST_TIMEOUT_MS = 10_000;
/** Answers that say nothing about the record: missing rights, a wrong proxy, too many requests. */
const NOT_ABOUT_SCHEMAS = new Set([401, 403, 407, 408, 425, 429]);
/** Magic byte and schema id. */
const PREFIX_BYTES = 5;
const TYPES = { avro: 'AVRO', protobuf: 'PROTOBUF', json: 'JSON' } as const;
const CONTENT_TYPE = 'application/vnd.schemaregistry.v1+json';

/** What a new version of a subject's schema must go together with. */
export type Compatibility =
  | 'NONE'
  | 'BACKWARD'
  | 'BACKWARD_TRANSITIVE'
  | 'FORWARD'
  | 'FORWARD_TRANSITIVE'
  | 'FULL'
  | 'FULL_TRANSITIVE';

/**
 * Records in Confluent's wire format (a zero byte, the schema's id, then Avro, Protobuf or JSON), with schemas from a registry that speaks
 * Confluent's protocol. Schemas are fetched once.
 */
export class SchemaSerde {
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #codecs = new Map<number, Promise<Codec>>();

  constructor({ url, username, password }: SchemaRegistryConfig) {
    this.#url = url;
    const credentials = Buffer.from(`${username}:${password ?? ''}`).toString('base64');
    this.#headers = username === undefined ? {} : { authorization: `Basic ${credentials}` };
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
    const codec = await this.#codec(id);
    try {
      return codec.decode(bytes.subarray(PREFIX_BYTES));
    } catch (error) {
      throw new UndecodableRecordError(`its bytes do not fit schema ${id}: ${messageOf(error)}`, error);
    }
  }

  #codec(id: number): Promise<Codec> {
    let codec = this.#codecs.get(id);
    if (codec === undefined) {
      codec = this.#load(id);
      this.#codecs.set(id, codec);
      codec.catch((error: unknown) => {
        // A schema does not change: one that cannot be used never can. An outage is over some time.
        if (error instanceof ConnectionError || this.#isUnknown(error)) this.#codecs.delete(id);
      });
    }
    return codec;
  }

  /** It may be registered yet. */
  #isUnknown(error: unknown): boolean {
    return error instanceof UndecodableRecordError && error.message.includes('is not in the registry');
  }

  async #load(id: number): Promise<Codec> {
    const registered = await this.#ask(`/schemas/ids/${id}`, `schema ${id}`);
    const references = await this.#references(registered, new Map());
    try {
      return createCodec(registered, [...references.values()]);
    } catch (error) {
      throw new UndecodableRecordError(`schema ${id} cannot be used: ${messageOf(error)}`, error);
    }
  }

  /** Schemas that one refers to, by name, those they refer to first. */
  async #references(
    { references }: RegisteredSchema,
    found: Map<string, NamedSchema>,
  ): Promise<ReadonlyMap<string, NamedSchema>> {
    for (const { name, subject, version } of references ?? []) {
      if (found.has(name)) continue;
      const what = `${name}, version ${version} of ${subject},`;
      const path = `/subjects/${encodeURIComponent(subject)}/versions/${encodeURIComponent(String(version))}`;
      const schema = await this.#ask(path, what);
      await this.#references(schema, found);
      found.set(name, { name, schema: schema.schema });
    }
    return found;
  }

  /** @throws {@link UndecodableRecordError}, {@link ConnectionError} */
  async #ask(path: string, what: string): Promise<RegisteredSchema> {
    const { status, body } = await this.#request('GET', path, what);
    const parsed = registeredSchema.safeParse(body);
    if (status === 200 && parsed.success) return parsed.data;
    throw new UndecodableRecordError(`${what} is not in the registry ${this.#url}: it answers ${status}`);
  }

  /** @returns answers below 500 that are about the request. @throws {@link ConnectionError} for the others */
  async #request(
    method: string,
    path: string,
    what: string,
    body?: object,
  ): Promise<{ readonly status: number; readonly body: unknown }> {
    const registry = `the schema registry ${this.#url}`;
    let answer: Response;
    try {
      answer = await fetch(`${this.#url.replace(/\/$/, '')}${path}`, {
        method,
        headers: {
          ...this.#headers,
          accept: CONTENT_TYPE,
          ...(body === undefined ? {} : { 'content-type': CONTENT_TYPE }),
        },
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (error) {
      throw new ConnectionError(registry, error);
    }
    const { status } = answer;
    if (status >= 500 || NOT_ABOUT_SCHEMAS.has(status)) {
      throw new ConnectionError(registry, new Error(`it answers ${status} about ${what}`));
    }
    return { status, body: await answer.json().catch(() => undefined) };
  }

  /**
   * @param compatibility - what the subject is set to when it is new, and must be set to when it is not
   * @returns the schema's id, for {@link encode}; the same schema again has the same
   */
  async register(
    subject: string,
    { type, schema }: SchemaSource,
    compatibility: Compatibility = 'BACKWARD',
  ): Promise<number> {
    const text = typeof schema === 'string' ? schema : JSON.stringify(schema);
    const what = `subject ${subject}`;
    const name = encodeURIComponent(subject);
    const refuse = (problem: string): never => {
      throw new UndecodableRecordError(`${what} is refused by the registry ${this.#url}: ${problem}`);
    };
    const config = await this.#request('GET', `/config/${name}`, what);
    const isNew = config.status === 404;
    const { compatibilityLevel } = (config.body ?? {}) as { readonly compatibilityLevel?: string };
    if (!isNew && compatibilityLevel?.toUpperCase() !== compatibility) {
      refuse(`its compatibility is ${compatibilityLevel}, not ${compatibility}`);
    }
    const schemaType = type === 'avro' ? {} : { schemaType: TYPES[type] };
    const answer = await this.#request('POST', `/subjects/${name}/versions`, what, { ...schemaType, schema: text });
    const { id, message } = (answer.body ?? {}) as { readonly id?: number; readonly message?: string };
    if (answer.status !== 200 || id === undefined) return refuse(message ?? `it answers ${answer.status}`);
    if (isNew) await this.#request('PUT', `/config/${name}`, what, { compatibility });
    return id;
  }

  /**
   * @param message - of Protobuf: the type in the file, such as `Outer.Inner`; the first without it
   * @throws {@link UndecodableRecordError} for a value that the schema does not take
   */
  async encode(schemaId: number, value: unknown, message?: string): Promise<Buffer> {
    const codec = await this.#codec(schemaId);
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeInt32BE(schemaId, 1);
    try {
      return Buffer.concat([prefix, codec.encode(value, message)]);
    } catch (error) {
      throw new UndecodableRecordError(`the value does not fit schema ${schemaId}: ${messageOf(error)}`, error);
    }
  }
}

interface NamedSchema {
  readonly name: string;
  readonly schema: string;
}

/** @throws Error for a schema that is none of its type */
function createCodec({ schema, schemaType = 'AVRO' }: RegisteredSchema, references: readonly NamedSchema[]): Codec {
  switch (schemaType) {
    case 'AVRO':
      return avroCodec(schema, references);
    case 'PROTOBUF':
      return protobufCodec(schema, references);
    case 'JSON':
      return jsonCodec(schema, references);
    default:
      throw new Error(`its type ${schemaType} is not AVRO, PROTOBUF or JSON`);
  }
}

function avroCodec(schema: string, references: readonly NamedSchema[]): Codec {
  // Names of the schemas before are known to the ones after.
  const options = { ...AVRO_OPTIONS, registry: { ...AVRO_OPTIONS.registry } } as unknown as Partial<ForSchemaOptions>;
  for (const reference of references) avsc.Type.forSchema(JSON.parse(reference.schema), options);
  const type = avsc.Type.forSchema(JSON.parse(schema), options);
  return {
    decode: (payload) => type.fromBuffer(payload),
    encode(value) {
      const problems: string[] = [];
      const errorHook = (path: string[], wrong: unknown): void =>
        void problems.push(`${path.join('.') || '(value)'} is ${typeof wrong} ${textOf(wrong)}`);
      if (!type.isValid(value, { errorHook })) throw new Error(problems.join('; '));
      return type.toBuffer(value);
    },
  };
}

function protobufCodec(schema: string, references: readonly NamedSchema[]): Codec {
  const file = new ProtobufFile(
    schema,
    references.map((reference) => reference.schema),
  );
  return {
    decode: (payload) => file.decode(payload),
    encode: (value, message) => file.encode(message === undefined ? [0] : file.indexesOf(message), value as object),
  };
}

function jsonCodec(schema: string, references: readonly NamedSchema[]): Codec {
  const ajv = new DialectAjv();
  for (const reference of references) ajv.addSchema(JSON.parse(reference.schema), reference.name);
  const validate = ajv.compile(JSON.parse(schema));
  const checked = (value: unknown): unknown => {
    if (validate(value)) return value;
    throw new Error(
      (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath || '(value)'} ${message}`).join('; '),
    );
  };
  return {
    decode: (payload) => checked(JSON.parse(payload.toString('utf8'))),
    encode: (value) => Buffer.from(JSON.stringify(checked(value))),
  };
}
