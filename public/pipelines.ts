/** `headwater/pipelines`: Beam's model, and the runners. */
export { type EventTime, eventTime } from '#kernel/time';
export {
  bagState,
  type CombineFn,
  combiningState,
  type DoFn,
  eventTimer,
  type FinishBundleContext,
  mapState,
  multimapState,
  type OnTimerContext,
  type OutputTag,
  orderedListState,
  outputTag,
  type ProcessContext,
  processingTimer,
  type SideInputView,
  setState,
  type TimerSpec,
  valueState,
} from '#pipelines/engine/dofn';
export { InvalidPipelineError } from '#pipelines/engine/errors';
export { Counter, Distribution, Gauge } from '#pipelines/engine/metrics';
export { type OffsetRange, OffsetRangeTracker } from '#pipelines/engine/splitting/offset_range';
export {
  type ProcessContinuation,
  type RestrictionTracker,
  resumeAfter,
  type SplittableContext,
  type SplittableDoFn,
  STOP,
} from '#pipelines/engine/splitting/splittable';
export { type FileSinkSettings, type WrittenFile, writeFiles } from '#pipelines/io/file_sink';
export { type WritePostgresSettings, writePostgres } from '#pipelines/io/postgres_sink';
export { type ReadPostgresSettings, readPostgres } from '#pipelines/io/postgres_source';
export { type ReadFilesSettings, readFiles } from '#pipelines/io/read_files';
export type { Construct } from '#pipelines/model/graph';
export { combineGlobally, combinePerKey, groupByKey, reshuffle } from '#pipelines/model/grouping';
export type { KV, PCollection, PipelineRoot, PTransform } from '#pipelines/model/pcollection';
export { createPipeline } from '#pipelines/model/pipeline';
export { type RowSpec, rowCoder } from '#pipelines/model/schema';
export { asIterable, asList, asMap, asMultimap, asSingleton } from '#pipelines/model/side_inputs';
export {
  create,
  filter,
  flatten,
  impulse,
  keyBy,
  keyedCoder,
  named,
  type ParDoSettings,
  parDo,
  parDoTagged,
  read,
  windowInto,
  withTimestamps,
} from '#pipelines/model/transforms';
export {
  afterAll,
  afterAny,
  afterCount,
  afterEach,
  afterProcessingTime,
  afterWatermark,
  always,
  defaultTrigger,
  never,
  orFinally,
  repeatedly,
} from '#pipelines/model/windows/triggers';
export {
  customWindows,
  fixedWindows,
  globalWindows,
  sessions,
  slidingWindows,
  type Windowing,
} from '#pipelines/model/windows/windowing';
export { type EmbeddedOptions, type PipelineHandle, runEmbedded } from '#pipelines/runner/embedded';
export { type PortableOptions, type PortableResult, runPortable } from '#pipelines/runner/portable/portable';
export { type LearnOnlineSettings, learnOnline, type RefusedExample } from '#pipelines/transforms/online/learn_online';
export type { ColumnWeights, LearnedColumn, LinearWeights } from '#pipelines/transforms/online/linear_rows';
export type {
  LabelledExample,
  OnlineCheckpoint,
  OnlineLearnerSettings,
} from '#pipelines/transforms/online/online_learner';
export { count, max, mean, min, sum, toList, top } from '#pipelines/transforms/standard/combiners';
export { approximateCountDistinct } from '#pipelines/transforms/standard/distinct_count';
export { type FailedElement, parDoWithDeadLetters } from '#pipelines/transforms/standard/error_handling';
export {
  coGroupByKey,
  deduplicate,
  distinct,
  groupIntoBatches,
} from '#pipelines/transforms/standard/grouping';
export { latestGlobally, latestPerKey } from '#pipelines/transforms/standard/latest';
export { partition } from '#pipelines/transforms/standard/partition';
export { periodicImpulse } from '#pipelines/transforms/standard/periodic_impulse';
export { approximateQuantiles } from '#pipelines/transforms/standard/quantiles';
export { type RateLimitSettings, rateLimit } from '#pipelines/transforms/standard/rate_limit';
export { reify } from '#pipelines/transforms/standard/reify';
export { sample } from '#pipelines/transforms/standard/sampling';
export {
  kvsToStrings,
  regexFind,
  regexMatches,
  regexReplaceAll,
  regexSplit,
  toStrings,
} from '#pipelines/transforms/standard/text';
export { waitOn } from '#pipelines/transforms/standard/wait_on';
export { type PollResult, type WatchSettings, watch } from '#pipelines/transforms/standard/watch';
