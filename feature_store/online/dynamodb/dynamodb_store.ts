import type { DynamoDbConfig } from '#connectors/dynamodb/config';
import type { DynamoDb, WriteCondition } from '#connectors/dynamodb/dynamodb';
import { type Item, itemProblem } from '#connectors/dynamodb/item_size';
import { EXPIRES_AT, featureTable } from '#connectors/dynamodb/tables';
import { awsFailure, failureClassOf } from '#connectors/failure_class';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, replaces, type ViewReference, viewId } from '#feature_store/definitions/values/feature_row';
import { oldestReadable } from '#feature_store/definitions/values/ttl';
import { PlatformError } from '#kernel/errors';
import { type Clock, SECOND_MS } from '#kernel/time';
import {
  CounterLimitError,
  LARGEST_COUNT,
  OnlineStoreError,
  OnlineTableMissingError,
  UnknownViewError,
} from '../../errors.ts';
import type { OnlineStore, WriteResult } from '../online_store.ts';
import { RowCodec, type RowLayout, unpack } from '../redis/row_codec.ts';

const KEY = 'pk';
const ROW = 'row';
/** Before the names of counters: an entity's counters are attributes of one item. */
const COUNTER = 'count:';
const HEALTH_TTL_S = 60;

/** An older event time never replaces a newer one; of equal ones, the one computed later wins, then the one written last. */
const NOT_OLDER =
  'attribute_not_exists(pk) OR event_at < :event_at OR (event_at = :event_at AND computed_at <= :computed_at)';

const keyOf = (text: string): Item => ({ [KEY]: { S: text } });
const rowKey = (view: ViewReference, entityKey: EntityKey): string => `row:${viewId(view)}:${entityKey}`;
const countersKey = (entityKey: EntityKey): string => `counts:${entityKey}`;
const layoutKey = (fingerprint: string): string => `layout:${fingerprint}`;
const numberOf = (value: number) => ({ N: String(value) });

/**
 * Rows as items of one table, each written on the condition that none with a later event time is there. DynamoDB deletes expired items within
 * days; until then, reads leave them out. The table is made by `headwater online-stores create`.
 */
export class DynamoDbOnlineStore implements OnlineStore {
  readonly kind = 'dynamodb';
  readonly name = 'online store (DynamoDB)';
  readonly #open: (config: DynamoDbConfig) => Promise<DynamoDb>;
  readonly #config: DynamoDbConfig;
  readonly #table: string;
  readonly #clock: Clock;
  readonly #codecs: ReadonlyMap<string, RowCodec>;
  /** Layouts that others have written rows with; undefined where they are not known. */
  readonly #foreign = new Map<string, Promise<RowLayout | undefined>>();
  #client: DynamoDb | undefined;

  /** @param deps - `open`: returns a client; the SDK is loaded then */
  constructor(
    deps: {
      readonly open: (config: DynamoDbConfig) => Promise<DynamoDb>;
      readonly views: readonly FeatureView[];
      readonly clock: Clock;
    },
    config: DynamoDbConfig,
  ) {
    this.#open = deps.open;
    this.#config = config;
    this.#table = featureTable(config.tablePrefix).name;
    this.#clock = deps.clock;
    this.#codecs = new Map(deps.views.map((view) => [viewId(view), new RowCodec(view)]));
  }

  /** @throws {@link OnlineTableMissingError} */
  async start(): Promise<void> {
    this.#client = await this.#open(this.#config);
    await this.#ask('open the table', async (client) => {
      if (!(await client.hasTable(this.#table))) throw new OnlineTableMissingError(this.#table, this.#config.region);
      const layouts = [...this.#codecs.values()].map(({ fingerprint, layout }) => ({
        ...keyOf(layoutKey(fingerprint)),
        layout: { S: JSON.stringify(layout) },
      }));
      await client.putAll(this.#table, layouts);
    });
  }

  async #ask<T>(what: string, send: (client: DynamoDb) => Promise<T>): Promise<T> {
    try {
      if (this.#client === undefined) throw new TypeError('the store is not started');
      return await send(this.#client);
    } catch (error) {
      if (error instanceof OnlineStoreError || error instanceof OnlineTableMissingError) throw error;
      throw new OnlineStoreError(what, error, failureOf(error));
    }
  }

  #codecOf(view: ViewReference): RowCodec {
    const codec = this.#codecs.get(viewId(view));
    if (codec === undefined) throw new UnknownViewError(viewId(view), [...this.#codecs.keys()]);
    return codec;
  }

  async write(rows: readonly FeatureRow[]): Promise<WriteResult> {
    const nowMs = this.#clock.now();
    // Of an entity's rows the newest one stays, whatever comes before it.
    const newest = new Map<string, FeatureRow>();
    let replaced = 0;
    for (const row of rows) {
      const key = rowKey(row, row.entityKey);
      const held = newest.get(key);
      if (held !== undefined && !replaces(row, held)) continue;
      if (held !== undefined) replaced += 1;
      newest.set(key, row);
    }
    const writes: { readonly item: Item; readonly condition: WriteCondition }[] = [];
    for (const [key, row] of newest) {
      const codec = this.#codecOf(row);
      const { ttlMs } = codec.view;
      // Already past its ttl: no read would return it.
      if (row.eventTime < oldestReadable(nowMs, ttlMs)) continue;
      const [eventAt, computedAt] = [numberOf(row.eventTime), numberOf(row.computedAt)];
      const item = checkedItem(row, {
        ...{ [KEY]: { S: key }, event_at: eventAt, computed_at: computedAt, [ROW]: { S: codec.encode(row) } },
        ...(ttlMs === 0 ? {} : { [EXPIRES_AT]: numberOf(Math.ceil((row.eventTime + ttlMs) / SECOND_MS) + 1) }),
      });
      const values = { ':event_at': eventAt, ':computed_at': computedAt };
      writes.push({ item, condition: { expression: NOT_OLDER, values } });
    }
    const written =
      replaced + (await this.#ask(`write ${rows.length} rows`, (client) => client.putAllIf(this.#table, writes)));
    return { written, stale: rows.length - written };
  }

  async read(view: ViewReference, entityKeys: readonly EntityKey[]): Promise<readonly (FeatureRow | undefined)[]> {
    if (entityKeys.length === 0) return [];
    const codec = this.#codecOf(view);
    const oldest = oldestReadable(this.#clock.now(), codec.view.ttlMs);
    // DynamoDB refuses a key that is requested twice.
    const keys = [...new Set(entityKeys)];
    return this.#ask(`read ${entityKeys.length} rows of ${viewId(view)}`, async (client) => {
      const rows = new Map<EntityKey, FeatureRow>();
      const byKey = new Map(keys.map((entityKey) => [rowKey(view, entityKey), entityKey]));
      for (const item of await client.getAll(this.#table, [...byKey.keys()].map(keyOf))) {
        const packed = unpack(item[ROW]?.S ?? '');
        const entityKey = byKey.get(item[KEY]?.S ?? '');
        if (packed === undefined || entityKey === undefined || packed.eventTime < oldest) continue;
        const layout = packed.layout === codec.fingerprint ? codec.layout : await this.#layoutOf(client, packed.layout);
        if (layout !== undefined) rows.set(entityKey, codec.decode(entityKey, packed, layout));
      }
      return entityKeys.map((entityKey) => rows.get(entityKey));
    });
  }

  #layoutOf(client: DynamoDb, fingerprint: string): Promise<RowLayout | undefined> {
    let layout = this.#foreign.get(fingerprint);
    if (layout === undefined) {
      layout = client.get(this.#table, keyOf(layoutKey(fingerprint))).then((item) => {
        if (item === undefined) this.#foreign.delete(fingerprint);
        return item === undefined ? undefined : (JSON.parse(item.layout?.S ?? '[]') as RowLayout);
      });
      layout.catch(() => this.#foreign.delete(fingerprint));
      this.#foreign.set(fingerprint, layout);
    }
    return layout;
  }

  async increment(entityKey: EntityKey, counter: string, by: number): Promise<number> {
    if (by === 0) return (await this.readCounters(entityKey))[counter] ?? 0;
    const add = (some: number): Promise<number> =>
      this.#ask(`count ${counter} of ${entityKey}`, (client) =>
        client.add(this.#table, keyOf(countersKey(entityKey)), `${COUNTER}${counter}`, some),
      );
    const value = await add(by);
    if (Math.abs(value) <= LARGEST_COUNT) return value;
    await add(-by);
    throw new CounterLimitError(counter, entityKey, by);
  }

  async readCounters(entityKey: EntityKey): Promise<Readonly<Record<string, number>>> {
    const item = await this.#ask(`read the counters of ${entityKey}`, (client) =>
      client.get(this.#table, keyOf(countersKey(entityKey))),
    );
    return Object.fromEntries(
      Object.entries(item ?? {})
        .filter(([name]) => name.startsWith(COUNTER))
        .map(([name, { N: value }]) => [name.slice(COUNTER.length), Number(value)]),
    );
  }

  async erase(views: readonly ViewReference[], entityKey: EntityKey): Promise<number> {
    return this.#ask(`erase ${entityKey}`, async (client) => {
      const keys = views.map((view) => keyOf(rowKey(view, entityKey)));
      const erased = await Promise.all(keys.map((key) => client.delete(this.#table, key)));
      await client.delete(this.#table, keyOf(countersKey(entityKey)));
      return erased.filter(Boolean).length;
    });
  }

  async checkHealth(): Promise<void> {
    const expiresAt = Math.ceil(this.#clock.now() / SECOND_MS) + HEALTH_TTL_S;
    await this.#ask('take a write', (client) =>
      client.putAll(this.#table, [{ ...keyOf('health'), [EXPIRES_AT]: numberOf(expiresAt) }]),
    );
  }

  async drain(): Promise<void> {}

  async stop(): Promise<void> {
    this.#client?.close();
    this.#client = undefined;
  }
}

/** @throws {@link OnlineStoreError} of the record, naming entity and view, for a row that DynamoDB does not take */
function checkedItem(row: FeatureRow, item: Item): Item {
  const problem = itemProblem(item);
  if (problem === undefined) return item;
  const remedy = 'divide the view, or keep embeddings and long strings elsewhere';
  const what = `write the row of ${row.entityKey} in view ${viewId(row)}`;
  throw new OnlineStoreError(what, new Error(`${problem}: ${remedy}`), 'record');
}

const failureOf = (error: unknown) =>
  error instanceof PlatformError || !(error instanceof Error) ? failureClassOf(error) : awsFailure(error.name);
