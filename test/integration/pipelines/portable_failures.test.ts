import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { OwnWorkers, WorkerPool } from '#pipelines/harness/worker_pool';
import type { Construct } from '#pipelines/model/graph';
import { create, parDo } from '#pipelines/model/transforms';
import { externalEnvironment } from '#pipelines/runner/portable/environment';
import { runPortable } from '#pipelines/runner/portable/portable';
import { startPrism } from '#scripts/services/beam_runners';
import { processesOf } from '../../support/platforms/processes_of.ts';
import { serviceAddress } from '../service_address.ts';

// What goes wrong between a job, its runner and its workers, and what is said about it.

const jobEndpoint = serviceAddress('TEST_PRISM_JOB_ENDPOINT');
const counting: Construct = (root) => void root.apply(create([1, 2, 3])).map((n) => n + 1);

test('a job service that is not there', async () => {
  await expect(runPortable(counting, { jobEndpoint: '127.0.0.1:1' })).rejects.toThrow(
    /the runner at 127\.0\.0\.1:1 did not answer while preparing the job.*Check that it runs/s,
  );
});

test('workers that have built another graph', async () => {
  const other = new OwnWorkers(
    (root) => void root.apply(create([1, 2, 3])).apply(parDo({ process() {} }, { name: 'Other' })),
  );
  const pool = await WorkerPool.start(other);
  try {
    const environment = externalEnvironment(pool.address);
    await expect(runPortable(counting, { jobEndpoint, environment })).rejects.toThrow(
      /was submitted with graph [0-9a-f]{16}, and this worker has built graph [0-9a-f]{16}/,
    );
  } finally {
    await pool.stop();
  }
}, 30_000);

test('a DoFn that throws: the transform, the element and the reason arrive here', async () => {
  const failing: Construct = (root) =>
    void root.apply(create([{ id: 7 }])).apply(
      parDo(
        {
          process() {
            throw new Error('no such account');
          },
        },
        { name: 'LookUp' },
      ),
    );
  await expect(runPortable(failing, { jobEndpoint, jobName: 'look-up' })).rejects.toThrow(
    /job "look-up" ended as FAILED: transform "LookUp" failed in process on element \{"id":7\}: no such account/,
  );
});

test('workers killed in the middle of a bundle', async () => {
  const pool = spawn(process.execPath, [
    assetPath('dist/cli/headwater.js'),
    ...['pipelines', 'worker'],
    assetPath('dist/examples/nexmark/pipeline.js'),
    '--option',
    'events=500000',
    '--listen',
    '127.0.0.1:0',
  ]);
  try {
    const address = await announced(pool);
    const { default: nexmark } = (await import(assetPath('dist/examples/nexmark/pipeline.js'))) as {
      default: (options: Record<string, string>) => Construct;
    };
    const running = runPortable(nexmark({ events: '500000' }), {
      jobEndpoint,
      jobName: 'killed',
      environment: externalEnvironment(address),
    });
    const ended = expect(running).rejects.toThrow(/job "killed" ended as FAILED/);
    let worker = processesOf(pool.pid)[0];
    for (; worker === undefined || worker.cpuSeconds < COMPUTES_AFTER_S; [worker] = processesOf(pool.pid))
      await sleep(100);
    process.kill(worker.pid, 'SIGKILL');
    await ended;
  } finally {
    pool.kill('SIGTERM');
  }
}, 60_000);

/** Processor time after which a worker has started and is at its bundle. */
const COMPUTES_AFTER_S = 4;

/** The address that a worker pool prints when it is ready. */
function announced(worker: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    worker.stdout?.on('data', (chunk: Buffer) => {
      const address = /on (\S+:\d+)/.exec(chunk.toString())?.[1];
      if (address !== undefined) resolve(address);
    });
    worker.on('exit', (code) => reject(new Error(`the worker pool ended with code ${code}`)));
  });
}

test('a runner that goes away in the middle of a job', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lost-prism-'));
  const prism = await startPrism(folder);
  try {
    const { default: nexmark } = (await import(assetPath('dist/examples/nexmark/pipeline.js'))) as {
      default: (options: Record<string, string>) => Construct;
    };
    const running = runPortable(nexmark({ events: '200000' }), {
      jobEndpoint: prism.env.TEST_PRISM_JOB_ENDPOINT as string,
      jobName: 'lost',
    });
    setTimeout(() => void prism.stop(), 700);
    await expect(running).rejects.toThrow(/the runner at .* did not answer while/);
  } finally {
    await prism.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);
