import { randomUUID } from 'node:crypto';
import { request as requestInsecurely } from 'node:http';
import { request as requestSecurely } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { keyFieldOf } from '#connectors/gateway/events/event_validator';
import type { AccessConfig } from '#connectors/http/config';
import { servicesById } from '#feature_store/definitions/feature_service';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { EventFields } from '#feature_store/definitions/sources/source';
import { entityKeyOf, idOf } from '#feature_store/definitions/values/entity_key';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { sampleEvents } from '#feature_store/testing/sample_events';
import { messageOf } from '#kernel/errors';
import { definitionsOf, loadProject, type Project } from '../project/project.ts';
import { PORTS, ROLES, type Role } from '../terminal/choices.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { JsonArray, print } from '../terminal/print.ts';

export interface CheckOptions {
  readonly host: string;
  readonly timeout: number;
  readonly json: boolean;
  readonly apiKey?: string | undefined;
}

const REQUEST_TIMEOUT_MS = 10_000;
const AGAIN_MS = 100;

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** What an event of the check is about. */
interface Subject {
  readonly view: FeatureView;
  /** The entity's id. */
  readonly entity: string;
  readonly event: EventFields;
  /** A model that reads features of this entity; undefined where the project serves none. */
  readonly model: string | undefined;
}

/** What checks know of each other. */
interface Context extends Subject {
  readonly ask: (role: Role, path: string, body?: unknown) => Promise<Answer>;
  readonly waitMs: number;
}

type Check = (context: Context) => Promise<string>;

/** Checks that need a model, where the project serves none. */
const NO_MODEL = 'skipped: no served model reads features of this entity';

/**
 * `headwater check`: checks a running platform from ingestion to predictions with one event of an entity of its own. A line for each of twelve
 * categories; exit code 1 when one fails.
 */
export async function checkPlatform({ host, timeout, json, apiKey }: CheckOptions): Promise<void> {
  const config = await loadProject();
  const subject = subjectOf(config);
  const context: Context = {
    ask: (role, path, body) => ask(addressOf(config, role, host), apiKey ?? keyOf(config, role), path, body),
    ...{ ...subject, waitMs: timeout * 1_000 },
  };
  const array = new JsonArray();
  let failed = 0;
  for (const [name, check] of Object.entries(CHECKS)) {
    const beganMs = performance.now();
    const outcome = await check(context).then(
      (detail) => ({ passed: true, detail }),
      (error: unknown) => ({ passed: false, detail: messageOf(error) }),
    );
    if (!outcome.passed) failed += 1;
    const tookMs = Math.round(performance.now() - beganMs);
    if (json) array.add({ check: name, ...outcome, tookMs });
    else print(`${outcome.passed ? 'PASS' : 'FAIL'}  ${name.padEnd(15)} ${outcome.detail} (${tookMs} ms)`);
  }
  if (json) array.end();
  if (failed > 0) process.exitCode = 1;
  else {
    const { entity, view } = subject;
    process.stderr.write(`the check's data: headwater entities erase ${entity} --entity ${view.entity.name} --yes\n`);
  }
}

/** Chooses a view that is computed as events come, of an entity that a served model reads if there is one. @throws {@link CommandFailedError} where no view is */
function subjectOf(project: Project): Subject {
  const { views, services } = definitionsOf(project);
  const streaming = views.filter(({ mode }) => mode === 'streaming');
  const known = servicesById({ views, services });
  const served = project.models.filter(({ serve, initial }) => serve && initial !== undefined);
  const others = project.models.filter(({ serve, initial }) => serve && initial === undefined);
  for (const { name, service } of [...served, ...others]) {
    const of = known.get(service);
    const view = streaming.find(({ entity }) => entity.name === of?.entity.name);
    if (view !== undefined) return { ...eventOf(view), view, model: name };
  }
  const [view] = streaming;
  if (view === undefined)
    throw new CommandFailedError('the project has no view that is computed as events come: there is nothing to check');
  return { ...eventOf(view), view, model: undefined };
}

function eventOf(view: FeatureView): Pick<Subject, 'entity' | 'event'> {
  const { entity } = view;
  const [source] = view.sources;
  const settings = { events: 1, seed: Date.now() % 1e9, endMs: Date.now(), spanMs: 0 };
  const [sample] = sampleEvents(source, entity.joinKeys, settings) as readonly [EventFields];
  const id = `check-${randomUUID()}`;
  const event: Record<string, unknown> = { ...sample, [source.eventIdField]: id };
  // An entity of its own, where its ids may be any text.
  for (const name of new Set([...entity.joinKeys, keyFieldOf(source)])) {
    if (typeof event[name] === 'string' && event[name].startsWith('sample-')) event[name] = id;
  }
  return { event, entity: idOf(entityKeyOf(entity, event)) };
}

const CHECKS: Readonly<Record<string, Check>> = {
  gateway: async ({ ask }) => ready(await ask('gateway', '/health/ready')),
  async ingestion({ ask, event }) {
    const { event_id: id, status } = parsed<{ event_id: string; status: string }>(
      await ask('gateway', '/ingest', event),
      202,
    );
    return `${id} is ${status}`;
  },
  async repetition({ ask, event }) {
    const { status } = parsed<{ status: string }>(await ask('gateway', '/ingest', event), 200);
    if (status !== 'duplicate') throw new Error(`the repeated event is ${status}`);
    return 'the repeated event is a duplicate';
  },
  pipeline: async ({ ask }) => ready(await ask('pipeline', '/health/ready')),
  async features({ ask, entity, view, waitMs }) {
    const path = `/features/${encodeURIComponent(entity)}?entity=${view.entity.name}`;
    const answer = await until(
      waitMs,
      () => ask('features', path),
      ({ status }) => status !== 404,
    );
    const { features } = parsed<{ features: Readonly<Record<string, unknown>> }>(answer, 200);
    return `${Object.keys(features).length} features of the event can be read`;
  },
  async vectors({ ask, entity, view }) {
    const service = viewId(view);
    const body = { service, rows: [{ entity }] };
    const answer = await ask('features', '/features/vector', body);
    const { vectors } = parsed<{ vectors: readonly { features: object | null }[] }>(answer, 200);
    const columns = vectors[0]?.features;
    if (columns === null || columns === undefined) throw new Error(`${service} has no row of ${entity}`);
    return `${Object.keys(columns).length} columns of ${service}`;
  },
  async models({ ask, model }) {
    const { models } = parsed<{ models: readonly { name: string; version: number; ready: boolean }[] }>(
      await ask('serving', '/models'),
      200,
    );
    const waiting = models.filter((model) => !model.ready).map(({ name }) => name);
    if (models.length === 0 && model === undefined) return 'skipped: the project serves no model';
    if (models.length === 0 || waiting.length > 0)
      throw new Error(`no version answers of ${waiting.join(', ') || 'any model'}`);
    return models.map(({ name, version }) => `${name} ${version}`).join(', ');
  },
  async predictions({ ask, entity, model }) {
    if (model === undefined) return NO_MODEL;
    const body = { model_name: model, entity_id: entity };
    const { prediction } = parsed<{ prediction: unknown }>(await ask('serving', '/predict', body), 200);
    return `${model} predicts ${prediction}`;
  },
  async batches({ ask, entity, model }) {
    if (model === undefined) return NO_MODEL;
    const body = { model_name: model, entity_ids: [entity, entity] };
    const { count } = parsed<{ count: number }>(await ask('serving', '/predict/batch', body), 200);
    return `${count} rows at once`;
  },
  async explanations({ ask, entity, model }) {
    if (model === undefined) return NO_MODEL;
    const body = { model_name: model, entity_id: entity };
    const answer = await ask('serving', '/explain', body);
    const { method, outputs } = parsed<{ method: string; outputs: readonly { contributions: object }[] }>(answer, 200);
    return `${method}, ${Object.keys(outputs[0]?.contributions ?? {}).length} columns`;
  },
  async monitoring({ ask }) {
    const exposed = await Promise.all(ROLES.map(async (role) => text(await ask(role, '/metrics'), 200)));
    const wanted = [
      'events_accepted_total',
      'events_processed_total',
      'cache_hits_total',
      'predictions_total',
      'monitored_rows',
    ];
    const missing = wanted.filter((name) => !exposed.some((metrics) => metrics.includes(`# TYPE ${name} `)));
    if (missing.length > 0) throw new Error(`no role exposes ${missing.join(', ')}`);
    return `${ROLES.length} roles expose metrics`;
  },
  async console({ ask }) {
    const { pipelines } = parsed<{ pipelines: readonly { name: string; lag: number }[] }>(
      await ask('serving', '/console/api/pipelines'),
      200,
    );
    return pipelines.map(({ name, lag }) => `${name}: lag ${lag}`).join(', ');
  },
};

function ready(answer: Answer): string {
  text(answer, 200);
  return 'ready';
}

/** @throws {Error} that says what was answered instead */
function text({ status, text: body }: Answer, wanted: number): string {
  if (status !== wanted) throw new Error(`${status} instead of ${wanted}: ${body.slice(0, 300)}`);
  return body;
}

const parsed = <T>(answer: Answer, wanted: number): T => JSON.parse(text(answer, wanted)) as T;

async function until(waitMs: number, get: () => Promise<Answer>, isDone: (answer: Answer) => boolean): Promise<Answer> {
  const giveUpAt = performance.now() + waitMs;
  for (;;) {
    const answer = await get();
    if (isDone(answer) || performance.now() > giveUpAt) return answer;
    await sleep(AGAIN_MS);
  }
}

function addressOf(config: Project, role: Role, host: string): URL {
  const { port, tls = config.tls } = config[PORTS[role].settings];
  return new URL(`${tls === undefined ? 'http' : 'https'}://${host}:${port || PORTS[role].usual}`);
}

function keyOf(config: Project, role: Role): string | undefined {
  const { apiKeys = [] } = config[PORTS[role].settings] as Partial<AccessConfig>;
  const [first] = apiKeys;
  return typeof first === 'string' ? first : first?.key;
}

function ask(address: URL, key: string | undefined, path: string, body?: unknown): Promise<Answer> {
  const request = address.protocol === 'https:' ? requestSecurely : requestInsecurely;
  const headers = {
    ...(key === undefined ? {} : { 'x-api-key': key }),
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
  };
  // By address, not by the certificate's name.
  const options = {
    method: body === undefined ? 'GET' : 'POST',
    headers,
    timeout: REQUEST_TIMEOUT_MS,
    rejectUnauthorized: false,
  };
  return new Promise((resolve, reject) => {
    const asking = request(new URL(path, address), options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
      );
      response.on('error', reject);
    });
    asking.on('timeout', () =>
      asking.destroy(new Error(`${address.href} did not answer within ${REQUEST_TIMEOUT_MS / 1_000} s`)),
    );
    asking.on('error', reject);
    asking.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
