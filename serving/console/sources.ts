import type { LetterFilter } from '#connectors/dead_letters/dead_letters';
import type { ModelAuditEntry } from '#feature_store/audit/model_audit_store';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { ExplainValue } from '#feature_store/explanation/value_explanation';
import type { LogLine, RunDataset, RunEvent, RunRecord, RunStatus } from '#kernel/workflow_runs';
import type { DriftReport } from '#monitoring/drift/drift_report';
import type { ModelVersion } from '#registry/model_registry';
import type { ExplainPrediction } from '../explain/prediction_explanation.ts';
import type { ModelVersions } from '../protocol/versions.ts';
import type {
  AlertStatus,
  Change,
  ChangeFilter,
  EntityDetails,
  FeatureDetails,
  Hit,
  Letter,
  Lineage,
  Message,
  Overview,
  Page,
  PredictionSummary,
  ServiceDetails,
  SourceDetails,
  TopicStatus,
  ValueHistory,
  VersionDetails,
  ViewDetails,
  ViewSummary,
} from './answers.ts';
import type { FigureRange, TimedFigures } from './figures.ts';

/** A job of the platform, as its broker and its metrics tell. */
export interface PipelineStatus {
  readonly name: string;
  readonly topic: string;
  readonly group: string;
  readonly partitions: readonly { readonly partition: string; readonly lag: number }[];
  readonly lag: number;
  /** Now minus its watermark; undefined where no metrics are to be had. */
  readonly watermarkLagSeconds: number | undefined;
}

/** A feature, with its distribution in the newest window. */
export interface FeatureStatus {
  readonly view: string;
  readonly feature: string;
  readonly type: string;
  readonly description: string;
  readonly owner: string;
  /** Age of the newest row of its view; undefined where no metrics are to be had. */
  readonly freshnessSeconds: number | undefined;
  readonly window:
    | {
        readonly start: string;
        readonly rows: number;
        readonly nullShare: number;
        readonly mean: number | null;
        readonly quantiles: readonly number[];
        readonly top: readonly (readonly [value: string, share: number])[];
      }
    | undefined;
}

export interface DeadLetterStatus {
  readonly where: string;
  readonly time: string;
  readonly stage: string;
  readonly reason: string;
  readonly attempt: number;
  readonly payload: string;
  readonly canBeReplayed: boolean;
}

export interface DeadLetters {
  readonly total: number;
  readonly newest: readonly DeadLetterStatus[];
  readonly groups: readonly { readonly stage: string; readonly reason: string; readonly count: number }[];
}

/** A state machine, as far as its graph needs it. */
export interface ShownMachine {
  readonly StartAt: string;
  readonly States: Readonly<
    Record<
      string,
      {
        readonly Type: string;
        readonly Resource?: string;
        readonly Next?: string;
        readonly Default?: string;
        readonly Choices?: readonly { readonly Next?: string }[];
        readonly Catch?: readonly { readonly Next: string }[];
      }
    >
  >;
}

export interface WorkflowStatus {
  readonly name: string;
  readonly document: ShownMachine;
  readonly schedules: readonly string[];
}

/** A run with all that happened in it. */
export interface RunDetails {
  readonly run: RunRecord;
  readonly document: ShownMachine;
  readonly events: readonly RunEvent[];
  readonly lines: readonly LogLine[];
  /** What it has read and made. */
  readonly datasets: readonly RunDataset[];
}

export interface ScheduleStatus {
  readonly name: string;
  readonly workflow: string;
  readonly when: string;
  readonly timeZone: string;
  readonly status: string;
  readonly lastTime: string | null;
  readonly nextTime: string | null;
}

/** A change of a run by a caller. */
export type RunChange = { readonly by: string } & (
  | { readonly action: 'cancel'; readonly reason: string }
  | { readonly action: 'redrive' }
  | {
      readonly action: 'approve' | 'reject';
      readonly reason: string;
      readonly state: string;
      /** @throws where the caller lacks the role that the state names */
      readonly requireRole: (role: string) => void;
    }
);

/** A page of a list, of what holds each word of a text. */
export interface ListFilter {
  readonly text?: string | undefined;
  readonly offset: number;
  readonly limit: number;
}

/** Which logged predictions are shown, the newest first. */
export interface PredictionQuery {
  readonly model?: string | undefined;
  /** Before this time, ms; the last one of the page before. */
  readonly untilMs?: number | undefined;
  readonly limit: number;
}

/** What the console shows and does; given by the composition root. */
export interface ConsoleSources {
  /** Other pages about the platform. */
  readonly links: { readonly grafana: string | undefined };
  workflows(): Promise<readonly WorkflowStatus[]>;
  runs(filter: {
    readonly workflow?: string | undefined;
    readonly status?: RunStatus | undefined;
  }): Promise<readonly RunRecord[]>;
  run(id: string): Promise<RunDetails>;
  schedules(): Promise<readonly ScheduleStatus[]>;
  /** @throws for a run of another workflow, and where the run's state does not allow the change */
  changeRun(workflow: string, id: string, change: RunChange): Promise<RunRecord>;
  /** Why a prediction is what it is. */
  readonly explainPrediction: ExplainPrediction;
  /** Why a feature has its value. */
  readonly why: { readonly explain: ExplainValue; readonly views: readonly FeatureView[] };
  pipelines(): Promise<readonly PipelineStatus[]>;
  /** Whether all is right, and what waits for a person. */
  overview(): Promise<Overview>;
  figures(range: FigureRange): Promise<readonly TimedFigures[]>;
  features(filter: ListFilter): Promise<Page<FeatureStatus>>;
  feature(view: string, feature: string): Promise<FeatureDetails>;
  views(filter: ListFilter): Promise<Page<ViewSummary>>;
  view(id: string): Promise<ViewDetails>;
  services(): readonly Pick<ServiceDetails, 'service' | 'entity' | 'owner' | 'description'>[];
  service(id: string): Promise<ServiceDetails>;
  sourcesOfViews(): readonly SourceDetails[];
  lineage(): Promise<Lineage>;
  readonly entities: {
    readonly names: readonly string[];
    /** @param mayRead - the views whose values the caller may see */
    details(entity: string, id: string, mayRead: (view: string) => boolean): Promise<EntityDetails>;
    history(
      entity: string,
      id: string,
      of: { readonly view: string; readonly feature: string; readonly days: number },
    ): Promise<ValueHistory>;
    /** Erases all that is kept of an entity. */
    erase(
      entity: string,
      id: string,
    ): Promise<{ readonly isApplied: boolean; readonly counts: Readonly<Record<string, number>> }>;
  };
  predictions(query: PredictionQuery): Promise<readonly PredictionSummary[]>;
  topics(): Promise<readonly TopicStatus[]>;
  messages(topic: string, partition: string | undefined, limit: number): Promise<readonly Message[]>;
  changes(filter: ChangeFilter): Promise<Page<Change>>;
  search(text: string): Promise<readonly Hit[]>;
  version(model: string, version: number): Promise<VersionDetails>;
  letter(where: string): Promise<Letter>;
  /** Sends a dead letter's record again with other content. */
  resend(where: string, payload: string): Promise<{ readonly topic: string }>;
  versions(): Promise<readonly ModelVersion[]>;
  readonly move: ModelVersions['move'];
  /** What was done to a model's versions, by whom and why, the newest first. */
  trail(model: string): Promise<readonly ModelAuditEntry[]>;
  drift(): Promise<readonly DriftReport[]>;
  /** Of Prometheus, or judged by this process alone. */
  alerts(): Promise<readonly AlertStatus[]>;
  deadLetters(filter: LetterFilter, limit: number): Promise<DeadLetters>;
  /** @returns how many were sent again */
  replay(filter: LetterFilter): Promise<{ readonly replayed: number; readonly unusable: number }>;
}
