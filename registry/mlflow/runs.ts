import { isMissing, type MlflowClient } from './client.ts';

export interface NewRun {
  readonly name: string;
  readonly startedMs: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly params: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
  /** The run that it is a part of. */
  readonly parent?: LoggedRun;
}

export interface LoggedRun {
  readonly runId: string;
  readonly experimentId: string;
  /** Where its artifacts go. */
  readonly artifacts: string;
}

interface WireRun {
  readonly run: {
    readonly info: { readonly run_id: string; readonly artifact_uri: string };
    readonly data?: { readonly metrics?: readonly { readonly key: string; readonly value: number | string }[] };
  };
}

const PARENT_TAG = 'mlflow.parentRunId';

export const pairsOf = (entries: Readonly<Record<string, string>>) =>
  Object.entries(entries).map(([key, value]) => ({ key, value }));

/** Runs of one experiment, which is made when it is first needed. */
export class MlflowRuns {
  readonly #client: MlflowClient;
  readonly #experimentName: string;

  constructor(client: MlflowClient, experimentName: string) {
    this.#client = client;
    this.#experimentName = experimentName;
  }

  /** Logs what is known of a run. */
  async log({ name, startedMs, metrics, params, tags, parent }: NewRun): Promise<LoggedRun> {
    const experimentId = parent?.experimentId ?? (await this.#experiment());
    const { run } = await this.#client.post<WireRun>('runs/create', {
      experiment_id: experimentId,
      run_name: name,
      start_time: startedMs,
    });
    const { run_id, artifact_uri } = run.info;
    const known = Object.entries(metrics).filter(([, value]) => Number.isFinite(value));
    await this.#client.post('runs/log-batch', {
      run_id,
      metrics: known.map(([key, value]) => ({ key, value, timestamp: startedMs, step: 0 })),
      params: pairsOf(params),
      tags: pairsOf(parent === undefined ? tags : { ...tags, [PARENT_TAG]: parent.runId }),
    });
    return { runId: run_id, experimentId, artifacts: artifact_uri };
  }

  async end(run_id: string, status: 'FINISHED' | 'FAILED', end_time: number): Promise<void> {
    await this.#client.post('runs/update', { run_id, status, end_time });
  }

  async artifactsOf(run_id: string): Promise<string> {
    const { run } = await this.#client.get<WireRun>('runs/get', { run_id });
    return run.info.artifact_uri;
  }

  /** Returns the newest value of each metric, without those that are not finite; none for a run that was deleted. */
  async metricsOf(run_id: string): Promise<Readonly<Record<string, number>>> {
    try {
      const { run } = await this.#client.get<WireRun>('runs/get', { run_id });
      const metrics = (run.data?.metrics ?? []).map(({ key, value }) => [key, Number(value)] as const);
      return Object.fromEntries(metrics.filter(([, value]) => Number.isFinite(value)));
    } catch (error) {
      if (isMissing(error)) return {};
      throw error;
    }
  }

  async #experiment(): Promise<string> {
    const experiment_name = this.#experimentName;
    try {
      const found = await this.#client.get<{ experiment: { experiment_id: string } }>('experiments/get-by-name', {
        experiment_name,
      });
      return found.experiment.experiment_id;
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    const created = await this.#client.post<{ experiment_id: string }>('experiments/create', { name: experiment_name });
    return created.experiment_id;
  }
}
