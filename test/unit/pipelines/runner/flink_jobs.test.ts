import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { FlinkJobs } from '#pipelines/runner/jobs/flink_jobs';
import { rootCause } from '#pipelines/runner/jobs/flink_rest';
import { activeJob, findJob } from '#pipelines/runner/jobs/runner_jobs';

// What Flink 1.19 answers, recorded from a cluster, and what becomes of it. test/recovery/flink_cluster.test.ts has the cluster.

let server: Server | undefined;
afterEach(() => {
  server?.close();
});

const ID = '90b5923e6b50555a3f9377312a3e294b';
const OLDER = 'de60bbe7a5704e1638b1e1a8e3df3504';
const VERTEX = '696bff6ed91a836faa57e20da18964d8';
const TASKS = { running: 13, finished: 0, total: 13 };

const overview = (...jobs: readonly object[]): object => ({
  jobs: [
    { jid: OLDER, name: 'probe', state: 'CANCELED', 'start-time': 1_000, 'end-time': 2_000, tasks: TASKS },
    ...jobs,
  ],
});
const RUNNING = { jid: ID, name: 'probe', state: 'RUNNING', 'start-time': 3_000, 'end-time': -1, tasks: TASKS };

const ANSWERS: Readonly<Record<string, unknown>> = {
  'GET /jobs/overview': overview(RUNNING),
  [`GET /jobs/${ID}`]: {
    vertices: [{ id: VERTEX, name: '[2]{Count, Write}', parallelism: 4 }],
    plan: { nodes: [{ id: VERTEX, inputs: [{ id: 'other' }] }] },
  },
  [`GET /jobs/${ID}/config`]: { 'execution-config': { 'user-config': { headwaterGraph: 'b7337f238f7a1ebf' } } },
  [`GET /jobs/${ID}/checkpoints`]: {
    counts: { completed: 150, failed: 8, restored: 1 },
    latest: {
      completed: {
        id: 311,
        state_size: 4_784_531,
        end_to_end_duration: 2_184,
        latest_ack_timestamp: 1_796_001_719_818,
        external_path: 'file:/checkpoints/chk-311',
      },
      savepoint: null,
    },
  },
  [`GET /jobs/${ID}/checkpoints/details/311`]: { tasks: { [VERTEX]: { state_size: 95_124 } } },
  [`GET /jobs/${ID}/exceptions`]: {
    exceptionHistory: {
      entries: [
        {
          timestamp: 1_796_001_700_000,
          taskName: '[2]{Count, Write} (1/4)',
          stacktrace:
            'java.lang.Exception: outer\n\tat a.B.c(B.java:1)\nCaused by: java.lang.IllegalStateException: the broker is gone\n\t... 5 more\n',
        },
      ],
    },
  },
  [`GET /jobs/${ID}/vertices/${VERTEX}/watermarks`]: [
    { id: '0.currentInputWatermark', value: '1796001633000' },
    { id: '1.currentInputWatermark', value: '1796001634000' },
  ],
  [`GET /jobs/${ID}/vertices/${VERTEX}/backpressure`]: {
    subtasks: [
      { ratio: 0.25, busyRatio: 0.5 },
      { ratio: 0, busyRatio: 0.1 },
    ],
  },
  [`GET /jobs/${ID}/vertices/${VERTEX}/subtasks/metrics?get=numRecordsIn,numRecordsOut,numRecordsInPerSecond,numRecordsOutPerSecond&agg=sum`]:
    [
      { id: 'numRecordsIn', sum: 4_256 },
      { id: 'numRecordsInPerSecond', sum: 20.05 },
    ],
};

/** Starts a server that gives these answers; one that is a list gives the next of it each time. */
async function flink(answers: Readonly<Record<string, unknown>>): Promise<{ jobs: FlinkJobs; bodies: string[] }> {
  const bodies: string[] = [];
  const queues = new Map<string, unknown[]>(
    Object.entries(answers).flatMap(([route, answer]) =>
      answer instanceof Queue ? [[route, [...answer.values] as unknown[]] as const] : [],
    ),
  );
  server = createServer((request, response) => {
    const route = `${request.method} ${request.url}`;
    const queue = queues.get(route);
    const answer = queue === undefined ? answers[route] : queue.length > 1 ? queue.shift() : queue[0];
    request.on('data', (chunk: Buffer) => bodies.push(chunk.toString()));
    request.on('end', () => {
      response.statusCode = answer === undefined ? 404 : 200;
      response.end(JSON.stringify(answer ?? { errors: ['org.apache.flink.FlinkException: Job not found'] }));
    });
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    jobs: new FlinkJobs({ restUrl: `http://127.0.0.1:${port}/`, jobEndpoint: '127.0.0.1:9', pollMs: 1 }),
    bodies,
  };
}

class Queue {
  readonly values: readonly unknown[];

  constructor(...values: readonly unknown[]) {
    this.values = values;
  }
}

test('lists jobs, the newest first, and finds them by name or id', async () => {
  const { jobs } = await flink(ANSWERS);
  expect((await jobs.list()).map(({ id, state, startedAt, endedAt }) => [id, state, startedAt, endedAt])).toEqual([
    [ID, 'running', '1970-01-01T00:00:03.000Z', undefined],
    [OLDER, 'cancelled', '1970-01-01T00:00:01.000Z', '1970-01-01T00:00:02.000Z'],
  ]);
  expect((await findJob(jobs, 'probe')).id).toBe(ID);
  expect((await findJob(jobs, OLDER)).id).toBe(OLDER);
  expect((await activeJob(jobs, 'probe'))?.id).toBe(ID);
  expect(await activeJob(jobs, 'other')).toBeUndefined();
  await expect(findJob(jobs, 'prob')).rejects.toThrow('flink has no job "prob" (did you mean "probe"?)');
});

test('a name that two jobs run under is refused with their ids; one whose tasks are deployed is starting', async () => {
  const twice = overview(RUNNING, { ...RUNNING, jid: 'f00', tasks: { running: 3, finished: 0, total: 13 } });
  const { jobs } = await flink({ 'GET /jobs/overview': twice });
  expect((await jobs.list()).find(({ id }) => id === 'f00')?.state).toBe('starting');
  for (const found of [findJob(jobs, 'probe'), activeJob(jobs, 'probe')])
    await expect(found).rejects.toThrow(/2 jobs run under the name "probe".*f00/);
});

test('describes a job: graph, rates, watermarks, back-pressure, bytes of state, snapshots, and why it failed last', async () => {
  const { jobs } = await flink(ANSWERS);
  expect(await jobs.describe(await findJob(jobs, 'probe'))).toEqual({
    ...(await findJob(jobs, ID)),
    graph: 'b7337f238f7a1ebf',
    transforms: [
      {
        ...{ name: '[2]{Count, Write}', parallelism: 4, inputs: ['other'], stateBytes: 95_124 },
        ...{ recordsIn: 4_256, recordsOut: undefined, recordsInPerSecond: 20.05, recordsOutPerSecond: undefined },
        ...{ watermark: '2026-11-30T01:20:33.000Z', backPressure: 0.25, busy: 0.5 },
      },
    ],
    lastSnapshot: {
      ...{ at: '2026-11-30T01:21:59.818Z', durationMs: 2_184, bytes: 4_784_531, place: 'file:/checkpoints/chk-311' },
    },
    snapshots: { completed: 150, failed: 8, restored: 1 },
    error: 'the broker is gone',
  });
});

test('stops with a savepoint, in the folder that is given, and says where it is; one that fails is the reason', async () => {
  const stopping = {
    ...ANSWERS,
    [`POST /jobs/${ID}/stop`]: { 'request-id': 't1' },
    [`GET /jobs/${ID}/savepoints/t1`]: new Queue(
      { status: { id: 'IN_PROGRESS' }, operation: null },
      { status: { id: 'COMPLETED' }, operation: { location: 'file:/savepoints/s1' } },
    ),
  };
  const { jobs, bodies } = await flink(stopping);
  const job = await findJob(jobs, 'probe');
  expect(await jobs.stop(job, { directory: 's3://bucket/savepoints' })).toBe('file:/savepoints/s1');
  expect(JSON.parse(bodies[0] as string)).toEqual({ drain: false, targetDirectory: 's3://bucket/savepoints' });
  await expect(jobs.stop({ ...job, state: 'restarting' }, {})).rejects.toThrow(
    'only a job that runs takes a savepoint',
  );
  await expect(jobs.drain()).rejects.toThrow('jobs on flink cannot be drained');
  server?.close();
  const trace = 'org.apache.flink.runtime.checkpoint.CheckpointException: Task has failed.';
  const failed = { status: { id: 'COMPLETED' }, operation: { 'failure-cause': { 'stack-trace': trace } } };
  const other = await flink({ ...stopping, [`GET /jobs/${ID}/savepoints/t1`]: failed });
  await expect(other.jobs.stop(job, {})).rejects.toThrow('stopping job "probe" with a savepoint: Task has failed.');
});

test('what Flink refuses is said with its reason, and one that does not answer by its address', async () => {
  const { jobs } = await flink({});
  await expect(jobs.list()).rejects.toThrow('listing jobs: Job not found');
  const absent = new FlinkJobs({ restUrl: 'http://127.0.0.1:2', jobEndpoint: '' });
  await expect(absent.list()).rejects.toThrow('the runner at http://127.0.0.1:2 did not answer while listing jobs');
});

test.each([
  ['java.lang.RuntimeException: a\n\tat x.Y.z(Y.java:3)\nCaused by: org.b.CException: d: e\n\t... 3 more', 'd: e'],
  ['Internal server error., <Exception on server side:\norg.x.RestException: no such job', 'Internal server error.,'],
  ['', ''],
])('the innermost exception of %j is %j', (trace, cause) => {
  expect(rootCause(trace)).toBe(cause);
});
