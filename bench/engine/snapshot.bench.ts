import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type Logger, silentLogger } from '#monitoring/log';
import { type DoFn, type ProcessContext, valueState } from '#pipelines/engine/dofn';
import type { KV } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { keyBy, parDo, read } from '#pipelines/model/transforms';
import { runEmbedded } from '#pipelines/runner/embedded';
import { report } from '../tools/result.ts';
import { type Event, Events } from '../workloads/engine_workload.ts';

// Snapshots of a million keys, taken while events change them.
const KEYS = 1_000_000;
const EVENTS = 12_000_000;

interface Row {
  readonly count: number;
  readonly sum: number;
  readonly last: number;
}

class RowPerKey implements DoFn<KV<number, Event>, never> {
  readonly row = valueState<Row>('row');
  process({ value: { amount, at } }: KV<number, Event>, context: ProcessContext<never>): void {
    const row = context.state(this.row);
    const before = row.read();
    row.write({ count: (before?.count ?? 0) + 1, sum: (before?.sum ?? 0) + amount, last: at });
  }
}

interface Written {
  readonly elapsedMs: number;
  readonly bytes: number;
}

const written: Written[] = [];
/** Reads what the runner logs about its snapshots. */
const log: Logger = {
  ...silentLogger,
  child: () => log,
  debug(fields: object, message?: string) {
    if (message === 'snapshot.written') written.push(fields as Written);
  },
} as Logger;

const directory = mkdtempSync(join(tmpdir(), 'bench-snapshot-'));
try {
  const plan = createPipeline((root) => {
    root
      .apply(read(EVENTS, new Events(), 'Events'))
      .apply(keyBy(({ at }) => (at * 7_919) % KEYS))
      .apply(parDo(new RowPerKey(), { name: 'Row' }));
  });
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const startedMs = performance.now();
  await runEmbedded(plan, { log, snapshots: { directory, intervalMs: 2_000 } }).finished;
  const seconds = (performance.now() - startedMs) / 1_000;
  delay.disable();
  // The last ones hold all keys.
  const full = written.filter(({ bytes }) => bytes > 0.9 * Math.max(...written.map((one) => one.bytes)));
  const bench = 'snapshot';
  const name = '1 M keys, beside events';
  report({
    bench,
    case: name,
    metric: 'time',
    value: Math.max(...full.map(({ elapsedMs }) => elapsedMs)),
    unit: 'ms',
    ceiling: 5_000,
  });
  report({ bench, case: name, metric: 'longest pause', value: delay.max / 1e6, unit: 'ms', ceiling: 500 });
  report({ bench, case: name, metric: 'size', value: Math.max(...full.map(({ bytes }) => bytes)) / 1e6, unit: 'MB' });
  report({ bench, case: name, metric: 'throughput', value: EVENTS / seconds, unit: 'events/s' });
  report({ bench, case: name, metric: 'snapshots', value: written.length, unit: '' });
} finally {
  rmSync(directory, { recursive: true, force: true });
}
