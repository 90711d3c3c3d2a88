import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { runCommand } from '../support/platforms/command_line.ts';
import { PlatformProcess } from '../support/platforms/platform_process.ts';

// The listeners as functions of AWS Lambda: events of API Gateway in, what the routes answer out.

interface Answer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lambda-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const eventFile = (name: string): string => assetPath(`test/data/${name}`);

async function invoke(name: string, file: string): Promise<Answer> {
  const { code, stdout, stderr } = await runCommand(folder, ['lambda', 'invoke', name, '--event', file]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as Answer;
}

/** What differs from one time to the next. */
const comparable = (body: string) => ({
  ...JSON.parse(body),
  ...{ request_id: undefined, prediction_id: undefined, latency_ms: undefined },
});

test('a prediction is the one that the route gives, for both versions of events, and is kept', async () => {
  const answers = [
    await invoke('predict', eventFile('apigw.json')),
    await invoke('predict', eventFile('apigw_v2.json')),
  ];
  const { body } = JSON.parse(readFileSync(eventFile('apigw_v2.json'), 'utf8')) as { body: string };
  const { stdout } = await runCommand(folder, ['predictions', '--json']);
  expect(JSON.parse(stdout)).toHaveLength(2);

  const platform = await PlatformProcess.start(join(folder, 'data'));
  const headers = { 'content-type': 'application/json' };
  const direct = await fetch(`${platform.urls.serving}/predict`, { method: 'POST', headers, body });
  const expected = comparable(await direct.text());
  await platform.terminate();
  expect(expected).toMatchObject({ prediction: 'legitimate' });
  for (const { statusCode, headers: told, body: answered } of answers) {
    expect({ statusCode, type: told['content-type'] }).toEqual({
      statusCode: 200,
      type: 'application/json; charset=utf-8',
    });
    expect(comparable(answered)).toEqual(expected);
  }
}, 120_000);

test('what is wrong with a request is told as the route tells it; what is no event by its file', async () => {
  const event = JSON.parse(readFileSync(eventFile('apigw_v2.json'), 'utf8')) as Record<string, unknown>;
  const bad = join(folder, 'bad.json');
  writeFileSync(
    bad,
    JSON.stringify({ ...event, body: '{"model_name": "fraud_detector", "features": {"amount": "x"}}' }),
  );
  const { statusCode, body } = await invoke('predict', bad);
  expect({ statusCode, body }).toMatchObject({ statusCode: 422, body: expect.stringMatching(/amount/) });
  writeFileSync(bad, 'no event');
  expect(await runCommand(folder, ['lambda', 'invoke', 'predict', '--event', bad])).toMatchObject({
    ...{ code: 1, stderr: expect.stringMatching(/bad\.json cannot be used: not JSON/) },
  });
}, 120_000);
