import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { isNotified, sendReport } from '#cli/retraining/notify';
import type { RetrainingReport } from '#cli/retraining/retraining_run';
import { workflowsConfigSchema } from '#workflows/config';
import { retrainingReport } from '../../../support/retraining_report.ts';

// A recording server holds what goes to webhooks, to SNS and to Alertmanagers; test/faults/notification.test.ts has a real Alertmanager and moto's SNS.

interface Taken {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const report = retrainingReport();
const CREDENTIALS = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'] as const;
const before = CREDENTIALS.map((name) => process.env[name]);
let taken: Taken[] = [];
let server: Server;
let url: string;

beforeAll(async () => {
  for (const name of CREDENTIALS) process.env[name] = 'test';
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      const path = request.url ?? '';
      taken.push({ path, headers: request.headers, body });
      if (path.startsWith('/bad')) return response.writeHead(500).end();
      return response
        .setHeader('content-type', 'text/xml')
        .end('<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
beforeEach(() => {
  taken = [];
});
afterAll(() => {
  for (const [at, name] of CREDENTIALS.entries()) {
    if (before[at] === undefined) delete process.env[name];
    else process.env[name] = before[at];
  }
  server.close();
});

const send = (notify: object, sent: RetrainingReport = report): Promise<void> =>
  sendReport(workflowsConfigSchema.parse({ notify }).notify, sent, new AbortController().signal);

/** Returns a port on which nothing listens. */
async function closedPort(): Promise<number> {
  const held = createServer();
  await new Promise<void>((resolve) => held.listen(0, '127.0.0.1', resolve));
  const { port } = held.address() as AddressInfo;
  await new Promise((resolve) => held.close(resolve));
  return port;
}

const alertmanager = (...urls: readonly string[]) => ({ alertmanager: { urls, endsAfter: '2h' } });
const topic = (name: string) => ({ sns: { topicArn: `arn:aws:sns:eu-central-1:123456789012:${name}`, endpoint: url } });

test('a report goes to each webhook, with the same key when it is sent again', async () => {
  await send({ webhooks: [`${url}/a`, `${url}/b`] });
  await send({ webhooks: [`${url}/a`, `${url}/b`] });
  const keys = (path: string) =>
    taken.filter((each) => each.path === path).map(({ headers }) => headers['idempotency-key']);
  expect(keys('/a')).toEqual([`${report.run}:0`, `${report.run}:0`]);
  expect(keys('/b')).toEqual([`${report.run}:1`, `${report.run}:1`]);
  expect(JSON.parse(taken[0]?.body ?? '')).toEqual({ event: 'retraining.promoted', ...report });
});

test('a channel that fails is named without its address, and the others get the report', async () => {
  const closed = await closedPort();
  const channels = {
    webhooks: [`${url}/bad?token=secret`, `${url}/a`, `http://127.0.0.1:${closed}/`],
    ...topic('models'),
  };
  const failed: unknown = await send({ ...channels, ...alertmanager(`${url}/bad`) }).catch((error: unknown) => error);
  expect(failed).toMatchObject({
    error: 'Notify.Refused',
    message:
      'webhook 1 of workflows.notify.webhooks answers 500; webhook 3 of workflows.notify.webhooks is not reached: ECONNREFUSED; workflows.notify.alertmanager answers 500',
  });
  expect(taken.map(({ path }) => path).sort()).toEqual(['/', '/a', '/bad/api/v2/alerts', '/bad?token=secret']);
});

test('Alertmanager gets an alert by its API, the same labels for the same run; one of a cluster is enough', async () => {
  await send(alertmanager(`${url}/bad`, `${url}/am/`));
  const [posted] = taken.filter(({ path }) => path === '/am/api/v2/alerts');
  const [alert, ...more] = JSON.parse(posted?.body ?? '[]') as { startsAt: string; endsAt: string }[];
  expect(more).toEqual([]);
  expect(alert).toMatchObject({
    labels: {
      ...{ alertname: 'ModelRetrained', kind: 'model', severity: 'info' },
      ...{ model: 'fraud', outcome: 'promoted', run: report.run },
    },
    annotations: { summary: 'fraud 5 is promoted', description: 'better' },
  });
  expect(Date.parse(alert?.endsAt ?? '') - Date.parse(alert?.startsAt ?? '')).toBe(7_200_000);
  taken = [];
  await send(alertmanager(url), { ...report, outcome: 'rolled_back' });
  expect(taken[0]?.body).toContain('"severity":"warning"');
});

test('SNS gets JSON with attributes; a FIFO topic also a group and a key that stays', async () => {
  await send(topic('models'), { ...report, model: 'ünïcode'.repeat(30) });
  await send(topic('models.fifo'));
  await send(topic('models.fifo'));
  const [plain, first, second] = taken.map(({ body }) => new URLSearchParams(body));
  expect(plain?.get('TopicArn')).toBe('arn:aws:sns:eu-central-1:123456789012:models');
  expect(plain?.get('Subject')).toMatch(/^[\x20-\x7e]{100}$/);
  expect(plain?.has('MessageGroupId')).toBe(false);
  expect(JSON.parse(first?.get('Message') ?? '')).toEqual({ event: 'retraining.promoted', ...report });
  expect([...(first?.values() ?? [])]).toEqual(
    expect.arrayContaining(['event', 'retraining.promoted', 'model', 'fraud']),
  );
  expect(first?.get('MessageDeduplicationId')).toMatch(/^[0-9a-f]{32}$/);
  for (const name of ['MessageDeduplicationId', 'MessageGroupId']) expect(second?.get(name)).toBe(first?.get(name));
  expect(taken[0]?.headers.authorization).toContain('/eu-central-1/sns/');
});

test('settings: no channel unless one is named; an ARN that is none is refused', () => {
  const parsed = (notify: object) => workflowsConfigSchema.parse({ notify }).notify;
  expect(isNotified(parsed({}))).toBe(false);
  for (const notify of [{ webhooks: [url] }, topic('a'), alertmanager(url)])
    expect(isNotified(parsed(notify))).toBe(true);
  for (const topicArn of ['models', 'arn:aws:sqs:eu-central-1:123456789012:a', 'arn:aws:sns:eu-central-1:1:a']) {
    expect(() => parsed({ sns: { topicArn } })).toThrow('is no ARN of a topic');
  }
  expect(parsed({ sns: { topicArn: 'arn:aws-us-gov:sns:us-gov-west-1:123456789012:a.fifo' } }).sns).toBeDefined();
});
