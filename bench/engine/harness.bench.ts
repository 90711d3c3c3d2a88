import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import type { EventTime } from '#kernel/time';
import { Counter } from '#pipelines/engine/metrics';
import { combinePerKey, reshuffle } from '#pipelines/model/grouping';
import type { KV } from '#pipelines/model/pcollection';
import { create, keyBy, parDo, windowInto } from '#pipelines/model/transforms';
import { fixedWindows } from '#pipelines/model/windows/windowing';
import { FLINK_DEFAULTS } from '#pipelines/runner/portable/flink_options';
import { runPortable } from '#pipelines/runner/portable/portable';
import { cacheFolder, once, run } from '#scripts/services/install';
import { startServers } from '#scripts/services/start_all';
import { report } from '../tools/result.ts';
import { countAndSum, type Event, eventOf, type Sums } from '../workloads/engine_workload.ts';

// The same job on the same Flink job server, with workers in TypeScript and in Python: whole run, start included.
const EVENTS = 1_000_000;
const PYTHON_EVENTS = 300_000;
const PARTS = 8;

async function typescript(jobEndpoint: string): Promise<number> {
  let counted = 0;
  const startedMs = performance.now();
  await runPortable(
    (root) => {
      const events = new Counter('events');
      root
        .apply(create(Array.from({ length: PARTS }, (_, part) => part)))
        .apply(reshuffle())
        .apply(
          parDo<number, Event>(
            {
              process(part, context) {
                for (let index = part; index < EVENTS; index += PARTS) {
                  const event = eventOf(index);
                  context.output(event, event.at as EventTime);
                }
              },
            },
            { name: 'Events' },
          ),
        )
        .apply(windowInto({ windowFn: fixedWindows(10) }))
        .apply(keyBy((event) => event.key))
        .apply(combinePerKey(countAndSum))
        .apply(
          parDo<KV<number, Sums>, never>(
            Object.assign(
              {
                process({ value }: KV<number, Sums>): void {
                  events.inc(value.count);
                  counted += value.count;
                },
              },
              { events },
            ),
            { name: 'Count' },
          ),
        );
    },
    {
      jobEndpoint,
      runnerOptions: { ...FLINK_DEFAULTS, parallelism: 1, shutdown_sources_after_idle_ms: 100 },
    },
  );
  if (counted !== EVENTS) throw new Error(`${counted} of ${EVENTS} events were counted`);
  return (EVENTS / (performance.now() - startedMs)) * 1_000;
}

async function python(jobEndpoint: string): Promise<number> {
  const venv = join(cacheFolder, 'beam-python-2.77.0');
  await once(venv, 'installing apache-beam 2.77.0 for Python', async () => {
    await run('python3', ['-m', 'venv', venv]);
    await run(join(venv, 'bin/pip'), ['install', '-q', 'apache-beam==2.77.0']);
  });
  const script = assetPath('bench/python/keyed_sum.py');
  // Not spawnSync: the job server's output comes through this process, and would stop it when no process reads.
  const output = await run(join(venv, 'bin/python'), [script, jobEndpoint, String(PYTHON_EVENTS)]);
  const [, perSecond] = /RESULT (\S+)/.exec(output) ?? [];
  if (perSecond === undefined) throw new Error(`the Python job failed: ${output.slice(-2_000)}`);
  return Number(perSecond);
}

const given = process.env.TEST_FLINK_JOB_ENDPOINT;
const servers = given === undefined ? await startServers(['flink']) : undefined;
try {
  const jobEndpoint = given ?? (servers?.env.TEST_FLINK_JOB_ENDPOINT as string);
  // The first job also starts Flink itself: not counted for either.
  await typescript(jobEndpoint);
  const ours = await typescript(jobEndpoint);
  const theirs = await python(jobEndpoint);
  report({
    bench: 'harness',
    case: 'keyed count and sum, 10 s tumbling, on Flink 1.19, parallelism 1',
    metric: 'throughput',
    value: ours,
    unit: 'events/s',
    peer: 'Beam Python SDK 2.77',
    peerValue: theirs,
    ratioFloor: 2,
  });
} finally {
  await servers?.stop();
}
