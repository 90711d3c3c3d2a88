import { FlinkJobs } from '#pipelines/runner/jobs/flink_jobs';
import type { RunnerJobs } from '#pipelines/runner/jobs/runner_jobs';
import type { JobRunner } from '../terminal/choices.ts';
import { DEFAULT_ENDPOINTS } from './runner_options.ts';

/** Where the jobs of a runner are. */
export interface JobPlace {
  readonly runner: JobRunner;
  readonly url?: string;
  readonly jobEndpoint?: string;
}

const FLINK_REST_URL = 'http://127.0.0.1:8081';

const OPENERS: Readonly<Record<JobRunner, (place: JobPlace) => RunnerJobs>> = {
  flink: ({ url = FLINK_REST_URL, jobEndpoint = DEFAULT_ENDPOINTS.flink as string }) =>
    new FlinkJobs({ restUrl: url, jobEndpoint }),
};

export const openJobs = (place: JobPlace): RunnerJobs => OPENERS[place.runner](place);
