import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import { oldestReadable } from '#feature_store/definitions/values/ttl';
import { isSameValue, jsonOfValue } from '#feature_store/definitions/values/value_codec';
import type { OfflineStores } from '#feature_store/offline_stores';
import type { OnlineStore } from '#feature_store/online/online_store';
import type { JsonValue } from '#kernel/json';
import type { Clock } from '#kernel/time';

export interface Consistency {
  /** Entities that were compared. */
  readonly entities: number;
  readonly values: number;
  /** Of the values, 0 to 1; 1 when nothing was there to compare. */
  readonly share: number;
  /** Entities with no row online, or one of another time than the newest of history. */
  readonly missing: number;
  readonly behind: number;
  readonly ahead: number;
  /** The first that differ: what is online, what is in history. */
  readonly examples: readonly {
    readonly entity: EntityKey;
    readonly feature: string;
    readonly online: JsonValue | undefined;
    readonly offline: JsonValue;
  }[];
}

const MOST_EXAMPLES = 10;
/** Sums kept from event to event and sums of tiles differ in the last digits. */
const RELATIVE = 1e-9;

/**
 * Compares what is online with the newest rows of history, value by value, for a random sample of a view's entities whose rows can still be
 * served. Rows that are just being written count as behind or ahead.
 */
export async function compareStores(
  view: FeatureView,
  {
    online,
    offline,
    clock,
  }: { readonly online: OnlineStore; readonly offline: Pick<OfflineStores, 'features'>; readonly clock: Clock },
  sample: number,
): Promise<Consistency> {
  const entities = await offline.features.sampleEntities(view, sample);
  const oldest = oldestReadable(clock.now(), view.ttlMs);
  const rows = (await offline.features.newestOf(view, entities)).filter(({ eventTime }) => eventTime >= oldest);
  const served = await online.read(
    view,
    rows.map(({ entityKey }) => entityKey),
  );
  const counts = { missing: 0, behind: 0, ahead: 0 };
  const examples: Consistency['examples'][number][] = [];
  let values = 0;
  let equal = 0;
  for (const [index, row] of rows.entries()) {
    const found = served[index];
    if (found === undefined) counts.missing += 1;
    else if (found.eventTime < row.eventTime) counts.behind += 1;
    else if (found.eventTime > row.eventTime) counts.ahead += 1;
    for (const [feature, value] of Object.entries(row.values)) {
      values += 1;
      if (isSame(found?.values[feature], value)) equal += 1;
      else if (examples.length < MOST_EXAMPLES) {
        const served = found?.values[feature];
        const online = served === undefined ? undefined : jsonOfValue(served);
        examples.push({ entity: row.entityKey, feature, online, offline: jsonOfValue(value) });
      }
    }
  }
  return { entities: rows.length, values, share: values === 0 ? 1 : equal / values, ...counts, examples };
}

function isSame(a: FeatureValue | undefined, b: FeatureValue): boolean {
  if (typeof a !== 'number' || typeof b !== 'number') return isSameValue(a, b);
  return Math.abs(a - b) <= RELATIVE * Math.max(1, Math.abs(a), Math.abs(b));
}
