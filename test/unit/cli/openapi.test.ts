import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { RouteOptions } from 'fastify';
import { type Platform, startPlatform } from '#cli/roles/platform';
import { ROLES } from '#cli/terminal/choices';
import { errorPages } from '#monitoring/http/docs/error_pages';
import { silentLogger } from '#monitoring/log';
import { testProject } from '../../support/platforms/test_project.ts';

// The contract of GET /openapi.json: every route of the four APIs is in it, with its access, the statuses that follow from what it is, and
// examples that its own schemas allow. The routes are those that Fastify registered.

interface Media {
  readonly schema?: object;
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}
interface Operation {
  readonly summary?: string;
  readonly security?: readonly object[];
  readonly parameters?: readonly ({
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
  } & Media)[];
  readonly requestBody?: { readonly content: Readonly<Record<string, Media>> };
  readonly responses: Readonly<
    Record<
      string,
      { readonly description: string; readonly headers?: object; readonly content?: Record<string, Media> }
    >
  >;
}
interface Document {
  readonly openapi: string;
  readonly security: readonly object[];
  readonly components: { readonly securitySchemes: Readonly<Record<string, object>> };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

const APIS = ['gateway', 'features', 'serving', 'monitor'] as const;
type Api = (typeof APIS)[number];

let folder: string;
let platform: Platform;
const documents = {} as Record<Api, Document>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'openapi-'));
  const ports = { GATEWAY_PORT: '0', PIPELINE_PORT: '0', FEATURE_API_PORT: '0', API_PORT: '0', MONITOR_PORT: '0' };
  const config = testProject({ ...ports, DATA_DIRECTORY: folder });
  platform = await startPlatform(config, silentLogger, ROLES);
  for (const api of APIS) {
    documents[api] = (await (await fetch(`${platform.urls[api]}/openapi.json`)).json()) as Document;
  }
}, 120_000);
afterAll(async () => {
  await platform?.services[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

interface Described {
  readonly where: string;
  readonly route: RouteOptions;
  readonly operation: Operation;
}

const isHidden = ({ schema }: RouteOptions): boolean => (schema as { hide?: boolean } | undefined)?.hide === true;
/** Routes for probes and people, described in docs: they are in no API. */
const UNDESCRIBED = /^\/(health(\/(live|ready))?|metrics|graph|openapi\.json|docs(\/.*)?|console(\/.*)?)$/;
const routesOf = (api: Api): readonly RouteOptions[] =>
  platform.listeners[api].app.registeredRoutes.filter(({ method }) => method !== 'HEAD');

function operations(api: Api): readonly Described[] {
  return routesOf(api).flatMap((route) => {
    if (UNDESCRIBED.test(route.url)) return [];
    const path = route.url.replace(/:(\w+)/g, '{$1}');
    const method = String(route.method).toLowerCase();
    const operation = documents[api].paths[path]?.[method];
    if (operation === undefined) throw new Error(`${api} ${method} ${path} is in no document`);
    return [{ where: `${api} ${method.toUpperCase()} ${path}`, route, operation }];
  });
}
const all = (): readonly Described[] => APIS.flatMap(operations);

/** What an operation lacks, by its name; it fails with all of them. */
function lacking(check: (described: Described) => readonly string[]): readonly string[] {
  const described = all();
  expect(described.length).toBeGreaterThan(25);
  return described.flatMap((each) => check(each).map((problem) => `${each.where}: ${problem}`));
}

const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
const examplesOf = ({ example, examples, schema }: Media): readonly unknown[] => [
  ...(example === undefined ? [] : [example]),
  ...Object.values(examples ?? {}).map(({ value }) => value),
  ...((schema as { examples?: unknown[] } | undefined)?.examples ?? []),
];
function problemsOf(what: string, media: Media): readonly string[] {
  const shown = examplesOf(media);
  if (shown.length === 0) return [`${what} has no example`];
  if (media.schema === undefined) return [`${what} has no schema`];
  const validate = ajv.compile(media.schema);
  return shown.flatMap((example) => (validate(example) ? [] : [`${what}: ${ajv.errorsText(validate.errors)}`]));
}

describe('OpenAPI', () => {
  test('routes that no document has are those of probes, documentation and the console', () => {
    for (const api of APIS) {
      const hidden = routesOf(api).filter(isHidden);
      expect(hidden.filter(({ url }) => !UNDESCRIBED.test(url)).map(({ url }) => url)).toEqual([]);
    }
    expect(APIS.map((api) => documents[api].openapi)).toEqual(APIS.map(() => '3.1.0'));
  });

  test('security follows the declared access: the document’s own, or none for open routes', () => {
    for (const api of APIS) {
      const { security, components } = documents[api];
      expect(security).toEqual([{ apiKey: [] }, { bearer: [] }]);
      expect(components.securitySchemes).toMatchObject({ apiKey: { name: 'x-api-key' }, bearer: { scheme: 'bearer' } });
    }
    expect(
      lacking(({ route, operation: { security } }) => {
        const isOpen = route.config?.access?.kind === 'open';
        return isOpen === (security !== undefined && security.length === 0)
          ? []
          : ['security is not that of its access'];
      }),
    ).toEqual([]);
  });

  test('every status that follows from what a route is, each with the request id', () => {
    expect(
      lacking(({ route, operation: { responses, parameters = [] } }) => {
        const isOpen = route.config?.access?.kind === 'open';
        const hasBody = ['POST', 'PUT', 'PATCH'].includes(String(route.method));
        const expected = [
          ...[405, ...(isOpen ? [] : [401, 403, 429])],
          ...(hasBody ? [400, 413, 415, 503] : []),
          ...(parameters.some((each) => each.in === 'path') ? [400, 404] : []),
        ];
        return [
          ...expected.filter((status) => responses[status] === undefined).map((status) => `no status ${status}`),
          ...(Object.keys(responses).some((status) => status.startsWith('2')) ? [] : ['no status of success']),
          ...Object.entries(responses).flatMap(([status, { headers = {}, description }]) => [
            ...('x-request-id' in headers ? [] : [`status ${status} has no header x-request-id`]),
            ...(description === '' || description === undefined ? [`status ${status} has no description`] : []),
          ]),
        ];
      }),
    ).toEqual([]);
  });

  test('every body, answer and parameter of a path has an example that its schema allows', () => {
    expect(
      lacking(({ route, operation: { summary, requestBody, responses, parameters = [] } }) => [
        ...(summary === undefined ? ['no summary'] : []),
        ...(['POST', 'PUT', 'PATCH'].includes(String(route.method)) && requestBody === undefined ? ['no body'] : []),
        ...Object.entries(requestBody?.content ?? {}).flatMap(([type, media]) => problemsOf(`body ${type}`, media)),
        ...Object.entries(responses).flatMap(([status, { content = {} }]) =>
          Object.keys(content).length === 0
            ? [`status ${status} has no content`]
            : Object.entries(content).flatMap(([type, media]) => problemsOf(`${status} ${type}`, media)),
        ),
        ...parameters
          .filter((each) => each.in === 'path')
          .flatMap((each) => problemsOf(`parameter ${each.name}`, each)),
      ]),
    ).toEqual([]);
  });

  test('an example of a problem names its own status and a documented code', () => {
    const codes = errorPages();
    expect(
      lacking(({ operation: { responses } }) =>
        Object.entries(responses).flatMap(([status, { content = {} }]) => {
          const example = content['application/problem+json']?.example as { status: number; code: string } | undefined;
          if (example === undefined) return [];
          const isKnown = example.status === Number(status) && codes.has(example.code);
          return isKnown ? [] : [`example of ${status}`];
        }),
      ),
    ).toEqual([]);
  });
});
