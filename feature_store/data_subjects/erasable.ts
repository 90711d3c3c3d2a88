import type { EntityMention } from '#connectors/entity_mention';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { type EntityKey, entityOf, parseEntityKey } from '#feature_store/definitions/values/entity_key';

/** The entity, a person most often, whose data is erased or exported. */
export interface DataSubject {
  readonly key: EntityKey;
  /** Views of its entity. */
  readonly views: readonly FeatureView[];
  readonly mention: EntityMention;
}

/** A record of a subject's data, as JSON. */
export type SubjectRecord = Readonly<Record<string, unknown>>;

/** A place that keeps data of entities. Erasing and exporting go over a list of these. */
export interface Erasable {
  /** Such as `online store` or `topic raw-events`. */
  readonly place: string;
  /** Erases what it keeps of a subject; repeating it is safe. @returns how much there was, in rows or records */
  erase(subject: DataSubject): Promise<number>;
  /** Everything that it keeps of a subject. */
  read(subject: DataSubject): AsyncIterable<SubjectRecord>;
  /** Why data may stay after {@link erase}, and for how long; absent where none does. */
  readonly stays?: string;
  /** Why {@link read} leaves data out; absent where it does not. */
  readonly notRead?: string;
}

/** @param views - all that are defined */
export function dataSubject(key: EntityKey, views: readonly FeatureView[]): DataSubject {
  const own = views.filter(({ entity }) => entity.name === entityOf(key));
  const { parts } = parseEntityKey(key);
  const [view] = own;
  const joinKeys = Object.fromEntries((view?.entity.joinKeys ?? []).map((name, index) => [name, String(parts[index])]));
  return { key, views: own, mention: { key, joinKeys } };
}

/** Counts what a place keeps of a subject. */
export async function countOf(place: Erasable, subject: DataSubject): Promise<number> {
  let count = 0;
  for await (const _ of place.read(subject)) count += 1;
  return count;
}
