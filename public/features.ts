/** `headwater/features`: sources, views and services, as a project defines them. */

export type { FeaturesPlugin, FeaturesPluginContext } from '#feature_store/api/plugin';
export type { SubjectRecord } from '#feature_store/data_subjects/erasable';
export {
  definePersonalData,
  type OpenPersonalData,
  type PersonalData,
  type SubjectIds,
} from '#feature_store/data_subjects/personal_data';
export {
  approxDistinct,
  count,
  distinct,
  first,
  last,
  max,
  mean,
  min,
  percentile,
  ratio,
  session,
  stddev,
  sum,
  top,
  variance,
} from '#feature_store/definitions/aggregations';
export { DefinitionError } from '#feature_store/definitions/errors';
export {
  asOf,
  dayOfWeek,
  expression,
  type Feature,
  field,
  fromEvent,
  hourOfDay,
  isWeekend,
  sincePrevious,
} from '#feature_store/definitions/feature';
export {
  type FeatureService,
  type FeatureServiceSpec,
  featureService,
} from '#feature_store/definitions/feature_service';
export {
  type FeatureView,
  type FeatureViewSpec,
  featureView,
  type RowOf,
} from '#feature_store/definitions/feature_view';
export type { EventSources, ViewSource } from '#feature_store/definitions/joined_sources';
export {
  columns,
  type OnDemandView,
  type OnDemandViewSpec,
  onDemand,
  onDemandView,
} from '#feature_store/definitions/on_demand';
export {
  inRange,
  matches,
  notNull,
  oneOf,
  type QualityRule,
  satisfies,
} from '#feature_store/definitions/rules/quality_rule';
export type { ViewContract } from '#feature_store/definitions/rules/view_contract';
export { envelope, id, time } from '#feature_store/definitions/sources/event_envelope';
export {
  type Entity,
  type EventFields,
  type EventSource,
  entity,
  eventSource,
  type History,
  type SourceSpec,
  source,
} from '#feature_store/definitions/sources/source';
export { type ReadStored, storedValuesOf } from '#feature_store/definitions/stored_values';
export { storedJson } from '#feature_store/definitions/values/encode_row';
export type { EntityKey } from '#feature_store/definitions/values/entity_key';
export type {
  ComputedValue,
  FeatureRow,
  FeatureValue,
  ViewReference,
} from '#feature_store/definitions/values/feature_row';
export { clamp01, numberOr0 } from '#feature_store/definitions/values/numeric';
export {
  array,
  decimal,
  embedding,
  type FeatureType,
  struct,
  type ValueOfType,
} from '#feature_store/definitions/values/value_type';
export {
  defineOfflineStore,
  type OfflineStoreDeps,
  type OfflineStoreExtension,
  type OwnOfflineStore,
} from '#feature_store/offline/define_offline_store';
export type {
  BackfillSettlement,
  Moment,
  OfflineStore,
  PointInTimeQuery,
  RowPage,
  RowWriter,
  TimeRange,
} from '#feature_store/offline/offline_store';
export {
  defineOnlineStore,
  type OnlineStoreDeps,
  type OnlineStoreExtension,
} from '#feature_store/online/define_online_store';
export type { OnlineStore, WriteResult } from '#feature_store/online/online_store';
export { stableHash32 } from '#kernel/hashes/hash';
export { Random } from '#kernel/random';
export { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '#kernel/time';
export { parseRfc3339 } from '#kernel/times/rfc3339';
