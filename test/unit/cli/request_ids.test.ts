import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Platform, startPlatform } from '#cli/roles/platform';
import { ROLES, type Role } from '#cli/terminal/choices';
import { createLogger } from '#monitoring/log';
import { sendRaw } from '../../support/hostile/raw_http.ts';
import { testProject } from '../../support/platforms/test_project.ts';
import { startTraceCollector, type TraceCollector } from '../../support/servers/trace_collector.ts';
import { until } from '../../support/turns.ts';

// The id of a request, on every listener: in its answer, in its log lines, in its span. The caller's own where it is usable, a new one otherwise.

let folder: string;
let platform: Platform;
let collector: TraceCollector;
const lines: string[] = [];
const variables = ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_BSP_SCHEDULE_DELAY'] as const;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'request-ids-'));
  collector = await startTraceCollector();
  Object.assign(process.env, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '50' });
  const ports = { GATEWAY_PORT: '0', PIPELINE_PORT: '0', FEATURE_API_PORT: '0', API_PORT: '0', MONITOR_PORT: '0' };
  const log = createLogger({ level: 'debug' }, { write: (line) => void lines.push(line) });
  platform = await startPlatform(testProject({ ...ports, DATA_DIRECTORY: folder }), log, ROLES);
}, 120_000);
afterAll(async () => {
  await platform?.services[Symbol.asyncDispose]();
  await collector?.stop();
  for (const name of variables) delete process.env[name];
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

const urlOf = (role: Role): string => platform.urls[role] as string;
const logged = (id: string): readonly string[] =>
  lines
    .map((line) => JSON.parse(line) as { request_id?: string; component?: string })
    .flatMap(({ request_id: own, component }) => (own === id ? [String(component)] : []));
const traced = (id: string): readonly string[] =>
  collector.spans
    .filter(({ attributes }) =>
      attributes.some(
        ({ key, value }) => key === 'http.request.header.x-request-id' && JSON.stringify(value).includes(`"${id}"`),
      ),
    )
    .map(({ scope }) => scope);

test.each(ROLES)('%s: a usable id is the caller’s, in answer, log and trace', async (role) => {
  const id = `caller-${role}:1.a_b`;
  const answer = await sendRaw(urlOf(role), 'GET', '/no/such/route', { 'x-request-id': id });
  expect([answer.status, answer.headers['x-request-id']]).toEqual([404, id]);
  expect(JSON.parse(answer.body)).toMatchObject({ request_id: id });
  await until(() => traced(id).length > 0);
  expect(logged(id)).toEqual([role]);
  expect(traced(id)).toEqual([`headwater.${role}`]);
});

test.each(ROLES)(
  '%s: without an id, and with one that is not usable, a new one is in answer, log and trace',
  async (role) => {
    const ids = new Set<string>();
    for (const given of [undefined, '', 'a b', 'x'.repeat(129), '../x', '{"a":1}', 'ø', 'jndi:{x}']) {
      const headers: Record<string, string> = given === undefined ? {} : { 'x-request-id': given };
      const { body, headers: sent } = await sendRaw(urlOf(role), 'GET', '/no/such/route', headers);
      const id = sent['x-request-id'] as string;
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
      expect(JSON.parse(body)).toMatchObject({ request_id: id });
      await until(() => traced(id).length > 0);
      expect([logged(id), traced(id)]).toEqual([[role], [`headwater.${role}`]]);
      ids.add(id);
    }
    expect(ids.size).toBe(8);
  },
  30_000,
);
