import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AttributeDefinition,
  BatchGetItemCommand,
  BatchWriteItemCommand,
  ConditionalCheckFailedException,
  CreateTableCommand,
  DeleteItemCommand,
  DescribeTableCommand,
  DescribeTimeToLiveCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  ResourceInUseException,
  ResourceNotFoundException,
  UpdateItemCommand,
  UpdateTimeToLiveCommand,
  type WriteRequest,
  waitUntilTableExists,
} from '@aws-sdk/client-dynamodb';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { bulkhead } from 'cockatiel';
import { ConnectionError } from '../errors.ts';
import type { DynamoDbConfig } from './config.ts';
import type { Item } from './item_size.ts';
import { EXPIRES_AT, type TableSpec } from './tables.ts';

/** What BatchGetItem takes at once, and BatchWriteItem. */
const MOST_KEYS = 100;
const MOST_WRITES = 25;
/** Requests that are under way at once; others wait. */
const AT_ONCE = 32;
const CONNECT_MS = 2_000;
/** What was not processed is requested again, with jittered, growing delays. */
const ATTEMPTS = 8;
const FIRST_DELAY_MS = 25;
const LONGEST_DELAY_MS = 1_000;
const TABLE_READY_WITHIN_S = 120;

/** A condition on the item that a write replaces. */
export interface WriteCondition {
  readonly expression: string;
  readonly values: Item;
}

/** A table that is there now. */
export interface CreatedTable {
  readonly name: string;
  readonly isNew: boolean;
}

/** Requests to DynamoDB, in units of the callers: any number of keys and items, what was throttled tried again. */
export class DynamoDb {
  readonly #client: DynamoDBClient;
  /** Sends a request when fewer than {@link AT_ONCE} are under way. */
  readonly #send: DynamoDBClient['send'];

  constructor({ region, endpoint, credentials, requestTimeoutMs }: DynamoDbConfig) {
    this.#client = new DynamoDBClient({
      region,
      requestHandler: new NodeHttpHandler({ connectionTimeout: CONNECT_MS, requestTimeout: requestTimeoutMs }),
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(credentials === undefined ? {} : { credentials: { ...credentials } }),
    });
    const gate = bulkhead(AT_ONCE, Number.POSITIVE_INFINITY);
    const send = (command: Parameters<DynamoDBClient['send']>[0]) => gate.execute(() => this.#client.send(command));
    this.#send = send as DynamoDBClient['send'];
  }

  close(): void {
    this.#client.destroy();
  }

  /** Returns an item, as it is after the writes that were answered; undefined where there is none. */
  async get(table: string, key: Item): Promise<Item | undefined> {
    const { Item: item } = await this.#send(
      new GetItemCommand({ TableName: table, Key: { ...key }, ConsistentRead: true }),
    );
    return item;
  }

  /**
   * Returns the items of keys, in no order; keys without an item are left out. Reads 100 keys a request, and requests again what
   * DynamoDB has left unprocessed.
   *
   * @param keys - each once
   * @throws {@link ConnectionError} where keys are still unprocessed after eight attempts
   */
  async getAll(table: string, keys: readonly Item[]): Promise<readonly Item[]> {
    const pages = chunksOf(keys, MOST_KEYS);
    return (await Promise.all(pages.map((page) => this.#getPage(table, page)))).flat();
  }

  async #getPage(table: string, keys: readonly Item[]): Promise<readonly Item[]> {
    const found: Item[] = [];
    await untilProcessed(keys, table, async (left) => {
      const request = { Keys: left.map((key) => ({ ...key })), ConsistentRead: true };
      const answer = await this.#send(new BatchGetItemCommand({ RequestItems: { [table]: request } }));
      found.push(...(answer.Responses?.[table] ?? []));
      return answer.UnprocessedKeys?.[table]?.Keys ?? [];
    });
    return found;
  }

  /** Writes each item for which the condition holds. @returns how many were written */
  async putAllIf(
    table: string,
    writes: readonly { readonly item: Item; readonly condition: WriteCondition }[],
  ): Promise<number> {
    const written = await Promise.all(writes.map(({ item, condition }) => this.#putIf(table, item, condition)));
    return written.filter(Boolean).length;
  }

  async #putIf(table: string, item: Item, { expression, values }: WriteCondition): Promise<boolean> {
    const put = new PutItemCommand({
      ...{ TableName: table, Item: { ...item } },
      ...{ ConditionExpression: expression, ExpressionAttributeValues: { ...values } },
    });
    try {
      await this.#send(put);
      return true;
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) return false;
      throw error;
    }
  }

  /** Writes items over what is there, 25 a request. @param items - of different keys */
  async putAll(table: string, items: readonly Item[]): Promise<void> {
    await this.#writeAll(
      table,
      items.map((item) => ({ PutRequest: { Item: { ...item } } })),
    );
  }

  /** Deletes items, 25 a request. */
  async deleteAll(table: string, keys: readonly Item[]): Promise<void> {
    await this.#writeAll(
      table,
      keys.map((key) => ({ DeleteRequest: { Key: { ...key } } })),
    );
  }

  async #writeAll(table: string, requests: readonly WriteRequest[]): Promise<void> {
    const send = async (left: readonly WriteRequest[]): Promise<readonly WriteRequest[]> => {
      const answer = await this.#send(new BatchWriteItemCommand({ RequestItems: { [table]: [...left] } }));
      return answer.UnprocessedItems?.[table] ?? [];
    };
    await Promise.all(chunksOf(requests, MOST_WRITES).map((page) => untilProcessed(page, table, send)));
  }

  /** Deletes an item. @returns whether there was one */
  async delete(table: string, key: Item): Promise<boolean> {
    const { Attributes: held } = await this.#send(
      new DeleteItemCommand({ TableName: table, Key: { ...key }, ReturnValues: 'ALL_OLD' }),
    );
    return held !== undefined;
  }

  /** Adds to a number of an item, at once however many callers there are. @returns what it is then */
  async add(table: string, key: Item, attribute: string, by: number): Promise<number> {
    const { Attributes: changed } = await this.#send(
      new UpdateItemCommand({
        ...{ TableName: table, Key: { ...key }, UpdateExpression: 'ADD #attribute :by', ReturnValues: 'UPDATED_NEW' },
        ...{ ExpressionAttributeNames: { '#attribute': attribute } },
        ...{ ExpressionAttributeValues: { ':by': { N: String(by) } } },
      }),
    );
    return Number(changed?.[attribute]?.N);
  }

  /** Returns the items of an index with a value of its partition key, the newest first. */
  async *query(table: string, index: NonNullable<TableSpec['index']>, value: string): AsyncIterable<Item> {
    let from: Item | undefined;
    do {
      const page = await this.#send(
        new QueryCommand({
          ...{ TableName: table, IndexName: index.name, ScanIndexForward: false },
          ...{ KeyConditionExpression: '#key = :value', ExpressionAttributeNames: { '#key': index.key } },
          ...{ ExpressionAttributeValues: { ':value': { S: value } } },
          ...(from === undefined ? {} : { ExclusiveStartKey: { ...from } }),
        }),
      );
      yield* page.Items ?? [];
      from = page.LastEvaluatedKey;
    } while (from !== undefined);
  }

  /** Returns whether a table is there and takes requests. */
  async hasTable(name: string): Promise<boolean> {
    try {
      const { Table: table } = await this.#send(new DescribeTableCommand({ TableName: name }));
      return table?.TableStatus === 'ACTIVE' || table?.TableStatus === 'UPDATING';
    } catch (error) {
      if (error instanceof ResourceNotFoundException) return false;
      throw error;
    }
  }

  /** Makes a table, paid by request, with expiry of its items; a table that is there is left as it is, but for the expiry. */
  async createTable(spec: TableSpec): Promise<CreatedTable> {
    const { name } = spec;
    const isNew = !(await this.hasTable(name)) && (await this.#create(spec));
    const wait = { client: this.#client, minDelay: 1, maxDelay: 2, maxWaitTime: TABLE_READY_WITHIN_S };
    await waitUntilTableExists(wait, { TableName: name });
    const { TimeToLiveDescription: expiry } = await this.#send(new DescribeTimeToLiveCommand({ TableName: name }));
    if (expiry?.TimeToLiveStatus === 'DISABLED' || expiry?.TimeToLiveStatus === undefined) {
      const enabled = { AttributeName: EXPIRES_AT, Enabled: true };
      await this.#send(new UpdateTimeToLiveCommand({ TableName: name, TimeToLiveSpecification: enabled }));
    }
    return { name, isNew };
  }

  async #create({ name, key, sort, index }: TableSpec): Promise<boolean> {
    const attributes: AttributeDefinition[] = [
      { AttributeName: key, AttributeType: 'S' },
      ...(sort === undefined ? [] : [{ AttributeName: sort, AttributeType: 'N' as const }]),
    ];
    if (index !== undefined) {
      attributes.push(
        { AttributeName: index.key, AttributeType: 'S' },
        { AttributeName: index.sort, AttributeType: 'N' },
      );
    }
    const command = new CreateTableCommand({
      ...{ TableName: name, BillingMode: 'PAY_PER_REQUEST', AttributeDefinitions: attributes },
      KeySchema: keySchema(key, sort),
      ...(index === undefined
        ? {}
        : {
            GlobalSecondaryIndexes: [
              {
                ...{ IndexName: index.name, KeySchema: keySchema(index.key, index.sort) },
                Projection: { ProjectionType: 'ALL' },
              },
            ],
          }),
    });
    try {
      await this.#send(command);
      return true;
    } catch (error) {
      // Another process makes it.
      if (error instanceof ResourceInUseException) return false;
      throw error;
    }
  }
}

const keySchema = (key: string, sort: string | undefined) => [
  { AttributeName: key, KeyType: 'HASH' as const },
  ...(sort === undefined ? [] : [{ AttributeName: sort, KeyType: 'RANGE' as const }]),
];

const chunksOf = <T>(all: readonly T[], size: number): readonly (readonly T[])[] =>
  Array.from({ length: Math.ceil(all.length / size) }, (_, at) => all.slice(at * size, (at + 1) * size));

/**
 * Sends requests until DynamoDB has processed them all.
 *
 * @param send - sends them; returns those that were not processed
 * @throws {@link ConnectionError} where some are left after eight attempts
 */
export async function untilProcessed<T>(
  requests: readonly T[],
  table: string,
  send: (left: readonly T[]) => Promise<readonly T[]>,
  delay: (delayMs: number) => Promise<unknown> = sleep,
): Promise<void> {
  let left = requests;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    if (attempt > 0)
      await delay(Math.min(FIRST_DELAY_MS * 2 ** (attempt - 1), LONGEST_DELAY_MS) * (0.5 + Math.random() / 2));
    left = await send(left);
    if (left.length === 0) return;
  }
  const reason = `${left.length} of ${requests.length} requests were left unprocessed ${ATTEMPTS} times: its capacity is too small`;
  throw new ConnectionError(`DynamoDB table ${table}`, new Error(reason));
}
