import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { createMetricsRegistry } from '#monitoring/metrics';
import { type DoFn, type ProcessContext, valueState } from '#pipelines/engine/dofn';
import type { KV } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { create, keyBy, parDo } from '#pipelines/model/transforms';
import { runEmbedded } from '#pipelines/runner/embedded';
import { GraphSampler } from '#pipelines/runner/job_graph';
import { createPipelineMetrics } from '#pipelines/runner/pipeline_metrics';

class Counted implements DoFn<KV<string, number>, number> {
  readonly seen = valueState<number>('seen');
  process({ value }: KV<string, number>, context: ProcessContext<number>): void {
    context.state(this.seen).write(value);
    context.output(value);
  }
}

const plan = () =>
  createPipeline((root) => {
    root
      .apply(create([1, 2, 3], 'Numbers'))
      .apply(keyBy((n) => `k${n}`, 'Key'))
      .apply(parDo(new Counted(), { name: 'Count' }))
      .apply(parDo({ process() {} }, { name: 'Write' }));
  });

test('a job shows its transforms with their inputs and counts, the bytes of their state, and its newest snapshot', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'graph-'));
  const registry = createMetricsRegistry({ process: false });
  try {
    const job = runEmbedded(plan(), {
      snapshots: { directory, intervalMs: 60_000 },
      metrics: createPipelineMetrics(registry),
    });
    await job.finished;
    const graph = job.graph();
    expect(graph).toMatchObject({ state: 'done', backlogRecords: 0, snapshots: 1 });
    const of = (name: string) => graph.transforms.find((transform) => transform.name === name);
    expect(of('Count')).toMatchObject({ kind: 'parDo', inputs: ['Key'], elementsOut: 3, watermark: null });
    expect(of('Write')).toMatchObject({ inputs: ['Count'], elementsOut: 0 });
    expect(of('Count')?.stateBytes).toBeGreaterThan(0);
    expect(graph.lastSnapshot?.bytes).toBeGreaterThan(of('Count')?.stateBytes as number);
    const text = await registry.metrics();
    expect(text).toContain(`pipeline_state_bytes{transform="Count"} ${of('Count')?.stateBytes}`);
    expect(text).toContain(`pipeline_snapshot_bytes ${graph.lastSnapshot?.bytes}`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('rates and back-pressure are of the last seconds, whatever was before', () => {
  const sampler = new GraphSampler(0);
  const counts = new Map([['Count', 0]]);
  const at = (nowMs: number, count: number): void => {
    counts.set('Count', count);
    sampler.observe(nowMs, () => counts);
  };
  const describe = (nowMs: number) =>
    sampler
      .describe(plan(), {
        nowMs,
        state: 'running',
        backlogRecords: 7,
        counts,
        watermarks: new Map([['Count', 60_000]]),
      })
      .transforms.find(({ name }) => name === 'Count');
  at(5_000, 500);
  sampler.addTime('Count', 1);
  at(10_000, 500);
  expect(describe(10_000)).toMatchObject({ elementsOutPerSecond: 0, backPressure: 0.2 });
  at(15_000, 1_500);
  expect(describe(15_000)).toMatchObject({ elementsOutPerSecond: 200, watermark: '1970-01-01T00:01:00.000Z' });
  // Three seconds later, with nothing more, over eight seconds.
  expect(describe(18_000)).toMatchObject({ elementsOutPerSecond: 125, backPressure: 0 });
});
