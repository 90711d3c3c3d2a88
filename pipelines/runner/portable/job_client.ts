import { setTimeout as sleep } from 'node:timers/promises';
import type * as grpc from '@grpc/grpc-js';
import { connect } from '#pipelines/harness/grpc_connections';
import type { PipelineProto } from '#pipelines/model/graph';
import * as jobApi from '#pipelines/proto/beam_job_api';
import * as jobClients from '#pipelines/proto/beam_job_api.grpc-client';
import { offerArtifacts } from './artifact_staging.ts';
import { JobFailedError, RunnerUnavailableError } from './errors.ts';

export type OptionValue = string | number | boolean | readonly string[];

export interface JobRequest {
  readonly name: string;
  readonly pipeline: PipelineProto;
  /** Pipeline options by their names in Beam, in snake case. */
  readonly options: Readonly<Record<string, OptionValue>>;
}

export interface JobMetric {
  readonly urn: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly payload: Uint8Array;
}

type JobService = InstanceType<typeof jobClients.JobServiceClient>;
type Callback<Out> = (error: grpc.ServiceError | null, value?: Out) => void;

const TERMINAL = new Set([
  jobApi.JobState_Enum.DONE,
  jobApi.JobState_Enum.FAILED,
  jobApi.JobState_Enum.CANCELLED,
  jobApi.JobState_Enum.DRAINED,
  jobApi.JobState_Enum.UPDATED,
]);
const CANCELLED = 1;
const LAST_WORDS_MS = 200;
const POLL_MS = 100;
/** Lines of a runner's messages that are kept for an error. */
const KEPT_MESSAGES = 50;

/** Submits jobs to a runner's job service (Beam's portability API: Prism, Flink's job server and others). */
export class JobClient {
  readonly #endpoint: string;
  readonly #client: JobService;

  constructor(endpoint: string) {
    this.#endpoint = endpoint;
    this.#client = connect(jobClients.JobServiceClient, endpoint);
  }

  /** @throws {@link RunnerUnavailableError} when the job service does not answer */
  async submit({ name, pipeline, options }: JobRequest): Promise<RunningJob> {
    const prepared = await this.#call<jobApi.PrepareJobResponse>('preparing the job', (callback) =>
      this.#client.prepare(
        { pipeline, jobName: name, pipelineOptions: { fields: structFields({ job_name: name, ...options }) } },
        callback,
      ),
    );
    const { artifactStagingEndpoint, stagingSessionToken, preparationId } = prepared;
    if (artifactStagingEndpoint !== undefined && artifactStagingEndpoint.url !== '') {
      await offerArtifacts(artifactStagingEndpoint.url, stagingSessionToken);
    }
    const { jobId } = await this.#call<jobApi.RunJobResponse>('starting the job', (callback) =>
      this.#client.run({ preparationId, retrievalToken: '' }, callback),
    );
    return new RunningJob(name, jobId, this.#client, (doing, call) => this.#call(doing, call as never) as never);
  }

  #call<Out>(doing: string, call: (callback: Callback<Out>) => unknown): Promise<Out> {
    return new Promise((resolve, reject) => {
      call((error, value) => {
        if (error === null) resolve(value as Out);
        else reject(new RunnerUnavailableError(this.#endpoint, doing, error));
      });
    });
  }

  close(): void {
    this.#client.close();
  }
}

/** A job that a runner has taken. */
export class RunningJob {
  readonly name: string;
  readonly id: string;
  readonly #client: JobService;
  readonly #call: <Out>(doing: string, call: (callback: Callback<Out>) => unknown) => Promise<Out>;
  readonly #messages: string[] = [];

  constructor(
    name: string,
    id: string,
    client: JobService,
    call: <Out>(doing: string, call: (callback: Callback<Out>) => unknown) => Promise<Out>,
  ) {
    this.name = name;
    this.id = id;
    this.#client = client;
    this.#call = call;
  }

  /**
   * Resolves when the job is done, or when `signal` says not to wait any longer. Messages of the runner are passed on as they come.
   *
   * @throws {@link JobFailedError} when it ends otherwise
   */
  async waitUntilFinished(onMessage: (text: string) => void = () => {}, signal?: AbortSignal): Promise<void> {
    await this.#readMessages(onMessage, signal);
    const state = await this.#terminalState(signal);
    if (signal?.aborted) return;
    const { DONE, DRAINED, UPDATED } = jobApi.JobState_Enum;
    if (state === DONE || state === DRAINED || state === UPDATED) return;
    throw new JobFailedError(this.name, jobApi.JobState_Enum[state] as string, this.#messages);
  }

  /** Resolves when the runner has no more to say, or a moment after it has said that the job ended. */
  #readMessages(onMessage: (text: string) => void, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const stream = this.#client.getMessageStream({ jobId: this.id });
      signal?.addEventListener('abort', () => stream.cancel(), { once: true });
      stream.on('data', ({ response }: jobApi.JobMessagesResponse) => {
        if (response.oneofKind === 'messageResponse') {
          const { messageText, importance } = response.messageResponse;
          onMessage(messageText);
          if (importance >= jobApi.JobMessage_MessageImportance.JOB_MESSAGE_BASIC) this.#keep(messageText);
        } else if (response.oneofKind === 'stateResponse' && TERMINAL.has(response.stateResponse.state)) {
          // The reason for a failure may still be on its way.
          setTimeout(() => {
            stream.cancel();
            resolve();
          }, LAST_WORDS_MS);
        }
      });
      stream.on('error', (error: grpc.ServiceError) => {
        if (error.code === CANCELLED) resolve();
        else reject(new RunnerUnavailableError(this.id, 'running the job', error));
      });
      stream.on('end', resolve);
    });
  }

  async #terminalState(signal: AbortSignal | undefined): Promise<jobApi.JobState_Enum> {
    for (;;) {
      const state = await this.state();
      if (TERMINAL.has(state) || signal?.aborted) return state;
      await sleep(POLL_MS);
    }
  }

  #keep(text: string): void {
    this.#messages.push(text);
    if (this.#messages.length > KEPT_MESSAGES) this.#messages.shift();
  }

  async state(): Promise<jobApi.JobState_Enum> {
    const { state } = await this.#call<jobApi.JobStateEvent>('reading the job’s state', (callback) =>
      this.#client.getState({ jobId: this.id }, callback),
    );
    return state;
  }

  async metrics(): Promise<readonly JobMetric[]> {
    const { metrics } = await this.#call<jobApi.GetJobMetricsResponse>('reading metrics', (callback) =>
      this.#client.getJobMetrics({ jobId: this.id }, callback),
    );
    return metrics?.attempted ?? [];
  }

  async cancel(): Promise<void> {
    await this.#call('cancelling the job', (callback) => this.#client.cancel({ jobId: this.id }, callback));
  }
}

type Fields = NonNullable<jobApi.PrepareJobRequest['pipelineOptions']>['fields'];

function structFields(options: Readonly<Record<string, OptionValue>>): Fields {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [`beam:option:${name}:v1`, { kind: valueKind(value) }]),
  ) as Fields;
}

function valueKind(value: OptionValue): Fields[string]['kind'] {
  switch (typeof value) {
    case 'string':
      return { oneofKind: 'stringValue', stringValue: value };
    case 'number':
      return { oneofKind: 'numberValue', numberValue: value };
    case 'boolean':
      return { oneofKind: 'boolValue', boolValue: value };
    default:
      return {
        oneofKind: 'listValue',
        listValue: { values: value.map((text) => ({ kind: { oneofKind: 'stringValue', stringValue: text } })) },
      };
  }
}
