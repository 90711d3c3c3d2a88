import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { inputsOf } from '#cli/retraining/tasks/report_tasks';
import { type LineageOfRun, lineageEvents, lineageRunId, sendLineage } from '#workflows/lineage/open_lineage';
import { retrainingReport } from '../../../support/retraining_report.ts';

const report = retrainingReport();
const state = {
  model: 'fraud',
  data: { from: '2026-10-30T00:00:00.000Z', to: '2026-11-29T00:00:00.000Z', labels: 900, newestLabel: '' },
  set: { rows: 900, positives: 30, quarantined: 0, sha256: 'abc' },
  trained: { metrics: {}, description: '', code: 'c0ffee' },
  comparison: {} as never,
};

test('a run is a start and an end of one id, with what it read and made by version', () => {
  const lineage: LineageOfRun = {
    ...{ run: report.run, job: 'retrain_fraud', outcome: 'succeeded', startedAt: '2026-11-29T00:00:00.000Z' },
    endedAt: '2026-11-29T01:00:00.000Z',
    datasets: [
      { direction: 'input', name: 'features/fraud@1', version: '' },
      { direction: 'input', name: 'models/fraud', version: '4' },
      { direction: 'output', name: 'models/fraud', version: '5' },
    ],
  };
  const [start, end] = lineageEvents(lineage, 'bank') as Record<string, unknown>[];
  const runId = lineageRunId(report.run);
  expect(runId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(start).toMatchObject({
    ...{ eventType: 'START', eventTime: '2026-11-29T00:00:00.000Z', outputs: [] },
    schemaURL: 'https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent',
    run: { runId, facets: { headwater_run: { run: report.run, outcome: 'succeeded' } } },
    job: { namespace: 'bank', name: 'retrain_fraud' },
  });
  const version = (datasetVersion: string) => ({ version: { datasetVersion } });
  expect(end).toMatchObject({
    ...{ eventType: 'COMPLETE', eventTime: '2026-11-29T01:00:00.000Z', run: { runId } },
    inputs: [
      { namespace: 'bank', name: 'features/fraud@1' },
      { name: 'models/fraud', facets: version('4') },
    ],
    outputs: [{ namespace: 'bank', name: 'models/fraud', facets: version('5') }],
  });
  const endOf = (outcome: string) =>
    (lineageEvents({ ...lineage, outcome }, 'b')[1] as { eventType: string }).eventType;
  expect(['failed', 'timed_out', 'cancelled'].map(endOf)).toEqual(['FAIL', 'FAIL', 'ABORT']);
  expect(lineageEvents({ ...lineage, endedAt: null }, 'bank')).toHaveLength(1);
});

test('retraining reads features, labels by hash, the version in production and the commit', () => {
  expect(inputsOf(state, report, 'fraud@1')).toEqual([
    { name: 'features/fraud@1' },
    { name: 'training_sets/fraud', version: 'abc' },
    { name: 'models/fraud', version: 4 },
    { name: 'code', version: 'c0ffee' },
  ]);
  expect(inputsOf({}, { model: 'fraud', champion: null }, 'fraud@1')).toEqual([{ name: 'features/fraud@1' }]);
});

test('events go into a file and to an address; one that is refused is an error', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lineage-'));
  const posted: unknown[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      posted.push(JSON.parse(body));
      response.writeHead(posted.length > 2 ? 422 : 201).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const file = join(folder, 'deep', 'lineage.jsonl');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/lineage`;
    await sendLineage([{ a: 1 }, { a: 2 }], { file, url });
    expect(readFileSync(file, 'utf8')).toBe('{"a":1}\n{"a":2}\n');
    expect(posted).toEqual([{ a: 1 }, { a: 2 }]);
    await expect(sendLineage([{ a: 3 }], { url })).rejects.toThrow('workflows.lineage.url answers 422');
  } finally {
    server.close();
    rmSync(folder, { recursive: true });
  }
});
