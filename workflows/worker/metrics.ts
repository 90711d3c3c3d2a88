import { Counter, Gauge, Histogram, type Registry } from '#monitoring/metrics';

const DURATION_BUCKETS_SECONDS = [0.05, 0.25, 1, 5, 15, 60, 300, 1_800, 7_200, 43_200, 259_200];

/** What a worker counts. */
export class WorkflowMetrics {
  readonly runs: Counter<'workflow' | 'status'>;
  readonly runSeconds: Histogram<'workflow' | 'status'>;
  readonly taskSeconds: Histogram<'task' | 'status'>;
  readonly writtenRows: Counter<'dataset'>;
  readonly active: Gauge<'workflow' | 'status'>;
  readonly dueAge: Gauge;
  readonly queueAge: Gauge<'workflow'>;
  readonly missing: Gauge<'task'>;
  readonly errors: Counter;

  constructor(registry: Registry) {
    const registers = [registry];
    this.runs = new Counter({
      name: 'workflow_runs_total',
      help: 'Runs that ended',
      labelNames: ['workflow', 'status'],
      registers,
    });
    this.runSeconds = new Histogram({
      name: 'workflow_run_duration_seconds',
      help: 'Time from the start of a run to its end',
      labelNames: ['workflow', 'status'],
      buckets: DURATION_BUCKETS_SECONDS,
      registers,
    });
    this.taskSeconds = new Histogram({
      name: 'workflow_task_duration_seconds',
      help: 'Time of one attempt of a task',
      labelNames: ['task', 'status'],
      buckets: DURATION_BUCKETS_SECONDS,
      registers,
    });
    this.writtenRows = new Counter({
      name: 'workflow_written_rows_total',
      help: 'Rows that tasks have written, by data set: predictions/MODEL for predictions of every entity',
      labelNames: ['dataset'],
      registers,
    });
    this.active = new Gauge({
      name: 'workflow_runs_active',
      help: 'Runs that are queued or running',
      labelNames: ['workflow', 'status'],
      registers,
    });
    this.dueAge = new Gauge({
      name: 'workflow_due_age_seconds',
      help: 'Age of the oldest step that is due and that no worker has taken',
      registers,
    });
    this.queueAge = new Gauge({
      name: 'workflow_queue_age_seconds',
      help: 'Age of the oldest run that waits for a limit of its workflow',
      labelNames: ['workflow'],
      registers,
    });
    this.missing = new Gauge({
      name: 'workflow_steps_without_task',
      help: 'Steps that wait for a version of a task that this worker does not have',
      labelNames: ['task'],
      registers,
    });
    this.errors = new Counter({
      name: 'workflow_worker_errors_total',
      help: 'Steps that a worker left to another after an error of its own',
      registers,
    });
  }
}
