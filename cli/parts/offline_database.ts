import type { OfflineStoreConfig } from '#feature_store/config';
import { SqlDatabase } from '#feature_store/database/sql_database';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { OfflineStoreExtension, OwnOfflineStore } from '#feature_store/offline/define_offline_store';
import { type OfflineStores, offlineStoresIn } from '#feature_store/offline_stores';
import { createDatabase, createOwnOfflineStore } from '#feature_store/stores';
import type { Service } from '#kernel/lifecycle';
import type { DriftStore } from '#pipelines/transforms/drift/drift_store';
import { sqlDriftStore } from '#pipelines/transforms/drift/sql_drift';
import type { CheckpointStore } from '#pipelines/transforms/online/checkpoint_store';
import { sqlCheckpointStore } from '#pipelines/transforms/online/sql_checkpoints';
import type { FigureStore } from '#serving/console/figures';
import { sqlFigureStore } from '#serving/console/sql_figures';
import type { FeedbackStore } from '#serving/prediction_store/feedback_store';
import type { PredictionStore } from '#serving/prediction_store/prediction_store';
import { sqlFeedbackStore } from '#serving/prediction_store/sql_feedback';
import { sqlPredictionStore } from '#serving/prediction_store/sql_predictions';
import type { RoutingStore } from '#serving/routing/routing';
import { sqlRoutingStore } from '#serving/routing/sql_routing';
import { type ScheduleStore, sqlScheduleStore } from '#workflows/schedules/schedule_store';
import { sqlWorkflowStore, type WorkflowStore } from '#workflows/store/workflow_store';

/** The offline database with every store in it. */
export interface OfflineDatabase extends OfflineStores, Service {
  readonly kind: string;
  readonly predictions: PredictionStore;
  readonly feedback: FeedbackStore;
  readonly routing: RoutingStore;
  readonly drift: DriftStore;
  /** What the console draws over time. */
  readonly figures: FigureStore;
  readonly checkpoints: CheckpointStore;
  readonly workflows: WorkflowStore;
  readonly schedules: ScheduleStore;
  /** For parts of this process that work in the database itself. */
  readonly sql: SqlExecutor;
  /** Calls `onDue` when a call of `workflows` in this process has made a step due. */
  onWorkflowsDue(onDue: () => void): void;
  start(signal?: AbortSignal): Promise<void>;
  /** @throws {OfflineStoreError} while the database does not answer, or takes no writes */
  checkHealth(): Promise<void>;
  /** Removes what deleted rows have left in the database's files, where those are its own. */
  compact(): Promise<void>;
  /** Copies the database's files, as they are at one moment, into a folder that does not exist yet. @throws {OfflineStoreError} where those are a server's */
  copyFiles(folder: string): Promise<void>;
  /** Returns the number of rows of each table, by name. */
  countRows(): Promise<Readonly<Record<string, number>>>;
}

/** Names of the stores: a command calls their methods in the platform that runs. */
export const STORES = [
  'features',
  'embeddings',
  'labels',
  'history',
  'statistics',
  'definitions',
  'erasures',
  'subjects',
  'retention',
  'modelAudit',
  'auditTrail',
  'predictions',
  'feedback',
  'routing',
  'drift',
  'figures',
  'checkpoints',
  'workflows',
  'schedules',
] as const satisfies readonly (keyof OfflineDatabase)[];

export const isStore = (name: string): name is (typeof STORES)[number] => (STORES as readonly string[]).includes(name);

/** Returns the offline database of a configuration. @param stores - of the project, for one that has the rows of features */
export const createOfflineDatabase = (
  deps: Parameters<typeof createDatabase>[0],
  config: OfflineStoreConfig,
  stores: readonly OfflineStoreExtension[] = [],
): OfflineDatabase => withStores(createDatabase(deps, config), createOwnOfflineStore(deps, config, stores));

/** Returns the offline database over an executor. */
export const sqlOfflineDatabase = (deps: ConstructorParameters<typeof SqlDatabase>[0], kind: string): OfflineDatabase =>
  withStores(new SqlDatabase(deps, kind));

function withStores(database: SqlDatabase, own?: OwnOfflineStore): OfflineDatabase {
  const { sql, kind, name } = database;
  let notifyDue = (): void => {};
  return {
    ...offlineStoresIn(database, own),
    predictions: sqlPredictionStore(sql),
    feedback: sqlFeedbackStore(sql),
    routing: sqlRoutingStore(sql),
    drift: sqlDriftStore(sql),
    figures: sqlFigureStore(sql),
    checkpoints: sqlCheckpointStore(sql),
    workflows: sqlWorkflowStore(sql, () => notifyDue()),
    schedules: sqlScheduleStore(sql),
    onWorkflowsDue(onDue) {
      notifyDue = onDue;
    },
    ...{ kind, name, sql },
    async start(signal = new AbortController().signal) {
      await database.start();
      await own?.start(signal);
    },
    async drain(signal) {
      await own?.drain(signal);
      await database.drain();
    },
    async stop() {
      await own?.stop();
      await database.stop();
    },
    async checkHealth() {
      await database.checkHealth();
      await own?.checkHealth?.();
    },
    compact: () => database.compact(),
    copyFiles: (folder) => database.copyFiles(folder),
    countRows: () => database.countRows(),
  };
}
