import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateTopicCommand, SubscribeCommand } from '@aws-sdk/client-sns';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sendReport } from '#cli/retraining/notify';
import { clientsOf, type Moto, startMoto } from '#scripts/terraform/moto';
import { pythonTools } from '#scripts/terraform/tools';
import { workflowsConfigSchema } from '#workflows/config';
import { retrainingReport } from '../support/retraining_report.ts';
import { type AlertStack, startAlertStack } from './alert_stack.ts';

// Reports of retraining reach their receivers through moto's SNS and through a real Alertmanager with the repository's routes.

let folder: string;
let moto: Moto;
let alerts: AlertStack;
let subscriber: Server;
const delivered: { readonly Type: string; readonly Subject?: string; readonly Message: string }[] = [];
const before = { ...process.env };

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'notification-'));
  [moto, alerts] = await Promise.all([startMoto(await pythonTools()), startAlertStack(folder, {})]);
  Object.assign(process.env, moto.env);
  subscriber = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      delivered.push(JSON.parse(body));
      response.end();
    });
  });
  await new Promise<void>((resolve) => subscriber.listen(0, '127.0.0.1', resolve));
}, 600_000);
afterAll(async () => {
  process.env = before;
  subscriber?.close();
  await Promise.all([moto?.stop(), alerts?.stop()]);
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

const send = (notify: object, report = retrainingReport()): Promise<void> =>
  sendReport(workflowsConfigSchema.parse({ notify }).notify, report, new AbortController().signal);

async function until(isSo: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`${what} not within 30 s`);
    await sleep(100);
  }
}

test('SNS delivers a report to the subscriptions whose filter takes its attributes', async () => {
  const { sns } = clientsOf(moto);
  const { TopicArn = '' } = await sns.send(new CreateTopicCommand({ Name: 'models' }));
  const Endpoint = `http://127.0.0.1:${(subscriber.address() as AddressInfo).port}/`;
  const FilterPolicy = JSON.stringify({ event: ['retraining.rolled_back'] });
  await sns.send(new SubscribeCommand({ TopicArn, Protocol: 'http', Endpoint, Attributes: { FilterPolicy } }));
  const channel = { sns: { topicArn: TopicArn, endpoint: moto.endpoint } };
  const report = retrainingReport({ outcome: 'rolled_back', reason: 'worse by outcomes' });
  await send(channel);
  await send(channel, report);
  const messages = () => delivered.filter(({ Type }) => Type === 'Notification');
  await until(() => messages().length > 0, 'a message');
  expect(messages()).toHaveLength(1);
  expect(messages()[0]?.Subject).toBe('fraud 5 is rolled back');
  expect(JSON.parse(messages()[0]?.Message ?? '')).toEqual({ event: 'retraining.rolled_back', ...report });
}, 60_000);

test('SNS refuses a topic that does not exist, and the error names the setting', async () => {
  const sns = { topicArn: 'arn:aws:sns:eu-central-1:123456789012:absent', endpoint: moto.endpoint };
  await expect(send({ sns })).rejects.toThrow(/^workflows\.notify\.sns fails: NotFound/);
}, 60_000);

test('Alertmanager sends a report by the route of models, once however often it is posted', async () => {
  const channel = { alertmanager: { urls: [alerts.alertmanagerUrl] } };
  for (let time = 0; time < 3; time += 1) await send(channel);
  const told = () => alerts.told.filter(({ text }) => text.includes('fraud 5 is promoted'));
  await until(() => new Set(told().map(({ by }) => by)).size >= 2, 'the alert by mail and chat');
  await sleep(3_000);
  expect(
    told()
      .map(({ by }) => by)
      .sort(),
  ).toEqual(['/slack', 'mail']);
}, 60_000);
