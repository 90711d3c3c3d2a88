/** A table: its key, and what DynamoDB does with items by itself. */
export interface TableSpec {
  readonly name: string;
  /** The name of the partition key, a string. */
  readonly key: string;
  /** The name of the sort key, a number; absent: there is none. */
  readonly sort?: string;
  /** An index whose partition key is the first attribute, a string, and whose sort key is the second, a number. */
  readonly index?: { readonly name: string; readonly key: string; readonly sort: string };
}

/** The attribute after whose time, in seconds, DynamoDB deletes an item, within days. */
export const EXPIRES_AT = 'expires_at';

/** Returns the table of features' newest rows, counters and layouts. */
export const featureTable = (prefix: string): TableSpec => ({ name: `${prefix}-features`, key: 'pk' });

/** Returns the table of predictions, which other applications read by id or by entity. */
export const predictionTable = (prefix: string): TableSpec & Required<Pick<TableSpec, 'sort' | 'index'>> => ({
  name: `${prefix}-predictions`,
  key: 'prediction_id',
  sort: 'row_index',
  index: { name: 'by_entity', key: 'entity_key', sort: 'predicted_at' },
});
