import { expect, test } from '@jest/globals';
import { SpanStatusCode } from '@opentelemetry/api';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import fc from 'fast-check';
import { z } from 'zod';
import { loadPlatformConfig, platformConfigSchema } from '#cli/project/config/platform_config';
import { messageOf } from '#kernel/errors';
import { hideSecretFields, isSecretName } from '#kernel/secrets';
import { failureOf, problemOf } from '#monitoring/http/error_answer';
import { createLogger } from '#monitoring/log';
import { SecretsHider } from '#monitoring/tracing';
import { RegistryUnavailableError } from '#registry/errors';

/** Every key of the configuration that holds a credential, with how one is put there. */
const keys = (secret: () => string): Readonly<Record<string, unknown>> => ({
  'broker.sasl': {
    mechanism: 'oauthbearer',
    tokenUrl: `https://u:${secret()}@t/?key=${secret()}`,
    clientId: 'c',
    clientSecret: secret(),
  },
  'onlineStore.password': secret(),
  'offlineStore.password': secret(),
  'registry.password': secret(),
  'registry.token': secret(),
  'registry.trackingUri': `https://u:${encodeURIComponent(secret())}@mlflow`,
  'access.apiKeys': [secret()],
  'gateway.apiKeys': [secret(), { key: secret(), name: 'n' }],
  'pipeline.apiKeys': [secret()],
  'monitor.apiKeys': [secret()],
  'workflows.worker.apiKeys': [secret()],
  'onlineStore.sentinel': { master: 'm', nodes: ['s:26379'], password: secret() },
  'featureApi.apiKeys': [secret()],
  'serving.apiKeys': [{ key: secret() }],
  'backup.secret': secret(),
  'grafana.url': `https://g/?access_token=${secret()}`,
  'serving.console.prometheusUrl': `https://${secret()}@p`,
});

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
}

function pathsOf(schema: JsonSchema, path = ''): readonly string[] {
  const below = Object.entries(schema.properties ?? {}).flatMap(([name, part]) => {
    const at = path === '' ? name : `${path}.${name}`;
    return isSecretName(name) ? [at] : pathsOf(part, at);
  });
  return [...below, ...[...(schema.anyOf ?? []), ...(schema.oneOf ?? [])].flatMap((part) => pathsOf(part, path))];
}

test('every key that holds a credential is among those tried here', () => {
  const schema = z.toJSONSchema(platformConfigSchema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
  const others = ['broker.credentials', 'onlineStore.credentials', 'onlineStore.sentinel.password'];
  const tried = [...Object.keys(keys(() => 'x')), ...others];
  const found = new Set(pathsOf(schema).map((path) => path.replace(/^broker\.sasl\..*/, 'broker.sasl')));
  expect([...found].filter((path) => !tried.includes(path))).toEqual([]);
  expect(found.size).toBeGreaterThan(6);
});

test('random credentials in every key are in no configuration shown, log line, error, answer or span', () => {
  const text = fc
    .string({ unit: fc.constantFrom(...'abcXYZ0189-_.~/+"\\ &%'), minLength: 26, maxLength: 40 })
    .map((some) => `qZ9${some}k7X`);
  fc.assert(
    fc.property(fc.uniqueArray(text, { minLength: 24, maxLength: 24 }), (given) => {
      let next = 0;
      const taken: string[] = [];
      const secret = (): string => {
        // In URLs as they are: of what URLs are made of.
        const value = given[next % given.length] as string;
        next += 1;
        const plain = value.replace(/[^A-Za-z0-9-_.~]/g, '_');
        taken.push(plain);
        return plain;
      };
      const overrides = keys(secret);
      const raw = given[0] as string;
      const config = loadPlatformConfig(
        { ENVIRONMENT: 'services', REDIS_PASSWORD: raw, MY_APP_SECRET: given[1] as string },
        { ...overrides, 'onlineStore.password': raw },
      );
      const aws = loadPlatformConfig(
        { ENVIRONMENT: 'services', INGEST_SINK: 'kinesis', FEATURE_STORE_BACKEND: 'dynamodb' },
        {
          'broker.credentials': { accessKeyId: secret(), secretAccessKey: secret() },
          'onlineStore.credentials': { accessKeyId: secret(), secretAccessKey: secret() },
        },
      );
      const all = [...taken.filter((value) => value !== overrides['onlineStore.password']), raw, given[1] as string];
      const seen: string[] = [config, aws].map((each) => JSON.stringify(hideSecretFields(each, '(set)')));
      const log = createLogger({ level: 'trace' }, { write: (line: string) => void seen.push(line) });
      for (const value of all) {
        const cause = Object.assign(new Error(`AUTH ${value} was refused`), {
          command: { name: 'auth', args: ['u', value] },
        });
        const error = new RegistryUnavailableError(`http://u:${encodeURIComponent(value)}@h did not answer`, cause);
        log
          .child({ url: `redis://u:${value}@h` })
          .error({ error, deep: { a: { b: [{ text: `x ${value}` }] } } }, `failed.${value}`);
        log.info({ error: cause, config, aws }, 'seen');
        seen.push(error.message, messageOf(cause), JSON.stringify(problemOf(failureOf(error), '/', 'id')));
        seen.push(...spanWith(value, cause));
      }
      const shown = seen.join('\n');
      for (const value of all) {
        for (const form of [value, JSON.stringify(value).slice(1, -1), encodeURIComponent(value)]) {
          expect(shown.includes(form) ? value : '').toBe('');
        }
      }
      // Lines stay JSON.
      for (const line of seen.filter((each) => each.startsWith('{"level"'))) JSON.parse(line);
    }),
    { numRuns: 25 },
  );
});

function spanWith(value: string, error: Error): readonly string[] {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SecretsHider(), new SimpleSpanProcessor(exporter)] });
  const span = provider
    .getTracer('t')
    .startSpan('work', { attributes: { 'db.password': value, url: `http://a:${value}@h`, list: [value] } });
  span.recordException(error);
  span.setStatus({ code: SpanStatusCode.ERROR, message: `failed with ${value}` });
  span.end();
  const finished = exporter.getFinishedSpans();
  expect(finished).toHaveLength(1);
  return finished.map(({ attributes, events, status }) => JSON.stringify({ attributes, events, status }));
}

test('an error in the configuration shows no value', () => {
  const load = () =>
    loadPlatformConfig(
      { ENVIRONMENT: 'services', DATABASE_PASSWORD_FILE: 'put-here-by-mistake', KAFKA_TLS: 'qZ9maybe' },
      { 'serving.apiKeys': ['short-qZ9'], 'grafana.url': 'not-a-url-qZ9' },
    );
  expect(load).toThrow(/DATABASE_PASSWORD_FILE[\s\S]*KAFKA_TLS[\s\S]*serving\.apiKeys/);
  expect(load).not.toThrow(/qZ9|put-here-by-mistake/);
});
