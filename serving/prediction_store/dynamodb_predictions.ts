import type { DynamoDbConfig } from '#connectors/dynamodb/config';
import type { DynamoDb } from '#connectors/dynamodb/dynamodb';
import { type Item, itemProblem } from '#connectors/dynamodb/item_size';
import { EXPIRES_AT, predictionTable } from '#connectors/dynamodb/tables';
import { openDynamoDb } from '#connectors/dynamodb/when_used';
import { ConnectionError, RecordRefusedError, TargetError } from '#connectors/errors';
import { awsFailure } from '#connectors/failure_class';
import type { OnlineStoreConfig } from '#feature_store/config';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { PlatformError } from '#kernel/errors';
import { SECOND_MS } from '#kernel/time';
import { durationMs } from '#kernel/times/duration';
import type { PredictionSink } from './prediction_log.ts';
import type { NewPrediction } from './prediction_store.ts';

/**
 * Predictions as items of a table of DynamoDB, for other applications: by `prediction_id` and `row_index`, or by `entity_key` and `predicted_at` (ms) with
 * the index `by_entity`. `features` and `probabilities` are JSON.
 */
export class DynamoDbPredictions implements PredictionSink {
  readonly target = 'prediction table';
  readonly #config: DynamoDbConfig;
  readonly #ttlMs: number;
  readonly #table: ReturnType<typeof predictionTable>;
  #client: Promise<DynamoDb> | undefined;

  /** @param settings - `ttlMs`: items expire so long after the prediction; 0: never */
  constructor(config: DynamoDbConfig, settings: { readonly ttlMs: number }) {
    this.#config = config;
    this.#ttlMs = settings.ttlMs;
    this.#table = predictionTable(config.tablePrefix);
  }

  async #ask<T>(send: (client: DynamoDb) => Promise<T>): Promise<T> {
    this.#client ??= openDynamoDb(this.#config);
    try {
      return await send(await this.#client);
    } catch (error) {
      if (error instanceof PlatformError || !(error instanceof Error)) throw error;
      const { name } = this.#table;
      const failure = awsFailure(error.name);
      if (failure === 'record') throw new RecordRefusedError('DynamoDB', name, undefined, error.message);
      throw failure === 'target'
        ? new TargetError(`DynamoDB table ${name}`, error)
        : new ConnectionError(`DynamoDB table ${name}`, error);
    }
  }

  /** Writes predictions; writing them again changes nothing. @throws {@link RecordRefusedError} for a prediction of more than 400 kB */
  async write(rows: readonly NewPrediction[]): Promise<void> {
    const items = rows.map((row) => this.#itemOf(row));
    await this.#ask((client) => client.putAll(this.#table.name, items));
  }

  #itemOf(row: NewPrediction): Item {
    const { features, probabilities, variant, experiment, entityKey, predictedAtMs } = row;
    const item: Item = {
      prediction_id: { S: row.predictionId },
      row_index: { N: String(row.rowIndex) },
      request_id: { S: row.requestId },
      model_name: { S: row.modelName },
      model_version: { N: String(row.modelVersion) },
      prediction: { S: row.prediction },
      predicted_at: { N: String(predictedAtMs) },
      features: { S: typeof features === 'string' ? features : JSON.stringify(features) },
      ...(probabilities === undefined ? {} : { probabilities: { S: JSON.stringify(probabilities) } }),
      ...(entityKey === undefined ? {} : { entity_key: { S: entityKey } }),
      ...(variant === undefined ? {} : { variant: { S: variant } }),
      ...(experiment === undefined ? {} : { experiment: { S: experiment } }),
      ...(this.#ttlMs === 0
        ? {}
        : { [EXPIRES_AT]: { N: String(Math.ceil((predictedAtMs + this.#ttlMs) / SECOND_MS)) } }),
    };
    const problem = itemProblem(item);
    if (problem !== undefined) throw new RecordRefusedError('DynamoDB', this.#table.name, row.predictionId, problem);
    return item;
  }

  /** Returns what was predicted of an entity, the newest first, each as JSON. */
  async *read(entityKey: EntityKey): AsyncIterable<Readonly<Record<string, string | number>>> {
    for (const item of await this.#ofEntity(entityKey)) {
      yield Object.fromEntries(
        Object.entries(item).map(([name, { S: text, N: number }]) => [name, text ?? Number(number)] as const),
      );
    }
  }

  /** Deletes what was predicted of an entity. @returns how many items there were */
  async erase(entityKey: EntityKey): Promise<number> {
    const keys = (await this.#ofEntity(entityKey)).map(
      ({ prediction_id, row_index }) => ({ prediction_id, row_index }) as Item,
    );
    await this.#ask((client) => client.deleteAll(this.#table.name, keys));
    return keys.length;
  }

  #ofEntity(entityKey: EntityKey): Promise<readonly Item[]> {
    return this.#ask(async (client) => {
      const items: Item[] = [];
      for await (const item of client.query(this.#table.name, this.#table.index, entityKey)) items.push(item);
      return items;
    });
  }
}

/** Returns the table of predictions beside an online store; undefined where none is configured. */
export const createPredictionTable = (store: OnlineStoreConfig): DynamoDbPredictions | undefined =>
  store.kind === 'dynamodb' && store.predictions !== undefined
    ? new DynamoDbPredictions(store, { ttlMs: durationMs(store.predictions.ttl) })
    : undefined;
