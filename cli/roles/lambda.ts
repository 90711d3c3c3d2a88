import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import awsLambdaFastify from '@fastify/aws-lambda';
import type { APIGatewayProxyEvent, APIGatewayProxyEventV2, Context } from 'aws-lambda';
import { ConfigError } from '#configs/errors';
import { readWhole } from '#connectors/files/file_system';
import { createFileSystems } from '#connectors/files/file_systems';
import type { GatewayPlugin, GatewayPluginContext } from '#connectors/gateway/plugin';
import type { AccessConfig } from '#connectors/http/config';
import { hasCallers } from '#connectors/http/key_ring';
import { type StreamAnswer, type StreamEvent, takeStreamEvent } from '#connectors/lambda/stream_event';
import { InvalidJsonError, parseExactJsonBytes } from '#kernel/exact/exact_json';
import { createLogger, type Logger } from '#monitoring/log';
import { ensureInitialModels } from '../project/initial_models.ts';
import { loadProject, type Project } from '../project/project.ts';
import { type LAMBDA_FUNCTIONS, PORTS } from '../terminal/choices.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print } from '../terminal/print.ts';
import { shutDown } from '../terminal/shutdown.ts';
import { type Platform, startPlatform } from './platform.ts';

// Triggers of streams as an AWS Lambda function, `dist/cli/roles/lambda.trigger`, and the listeners as AWS Lambda functions behind API Gateway, a function URL or a load balancer: `dist/cli/roles/lambda.predict` and so on as the handler.
// The same routes answer as in a process of their own.

type ProxyEvent = APIGatewayProxyEvent | APIGatewayProxyEventV2;
type Handler<Event = ProxyEvent, Answer = awsLambdaFastify.LambdaResponse> = (
  event: Event,
  context: Context,
) => Promise<Answer>;

type LambdaFunction = (typeof LAMBDA_FUNCTIONS)[number];
type ListenerFunction = Exclude<LambdaFunction, 'trigger'>;
const ROLE_OF = { predict: 'serving', ingest: 'gateway', features: 'features' } as const satisfies Record<
  ListenerFunction,
  string
>;

interface Instance<Event, Answer> {
  readonly platform: Platform;
  readonly answer: Handler<Event, Answer>;
}

/** Starts one role for events of Lambda: no client connects to its listener. */
function startRole(config: Project, role: (typeof ROLE_OF)[ListenerFunction], log: Logger): Promise<Platform> {
  const unbound = { host: '127.0.0.1', port: 0, allowedHosts: ['*'] };
  return startPlatform(
    {
      ...config,
      gateway: { ...config.gateway, ...unbound },
      featureApi: { ...config.featureApi, ...unbound },
      serving: { ...config.serving, ...unbound },
    },
    log,
    [role],
    ensureInitialModels(config, [role]),
  );
}

/** Opens what an instance of a function keeps from its first event on. */
async function openListener(
  name: ListenerFunction,
  isLocal: boolean,
): Promise<Instance<ProxyEvent, awsLambdaFastify.LambdaResponse>> {
  const config = await loadProject();
  const role = ROLE_OF[name];
  const log = createLogger({ level: config.log.level });
  if (!isLocal) requireCallers(name, config[PORTS[role].settings], log);
  const platform = await startRole(config, role, log);
  return { platform, answer: awsLambdaFastify(platform.listeners[role].app, { decorateRequest: false }) as Handler };
}

/** Opens a gateway whose events are records of a stream, changes of a table or lines of objects. */
async function openTrigger(): Promise<Instance<StreamEvent, StreamAnswer>> {
  const config = await loadProject();
  const { plugins } = config.extensions;
  const log = createLogger({ level: config.log.level });
  let intake: GatewayPluginContext | undefined;
  const trigger: GatewayPlugin = {
    name: 'lambda trigger',
    register: (_, context) => {
      intake = context;
    },
  };
  const extended = { ...plugins, gateway: [...plugins.gateway, trigger] };
  const platform = await startRole(
    { ...config, extensions: { ...config.extensions, plugins: extended } },
    'gateway',
    log,
  );
  // Plugins are registered before the role has started.
  const { ingestMessage: ingest } = intake as unknown as GatewayPluginContext;
  const fileSystems = createFileSystems();
  const readObject = (path: string): Promise<Buffer> => readWhole(fileSystems(path), path);
  return { platform, answer: (event) => takeStreamEvent(event, { ingest, readObject, log }) };
}

/** @throws {@link ConfigError} for a function that would answer every caller of its URL */
function requireCallers(name: ListenerFunction, access: AccessConfig, log: Logger): void {
  if (access.withoutKeys || hasCallers(access, log)) return;
  throw new ConfigError(
    `function ${name} has no key and no token issuer: set its apiKeys, keysFile or jwt, or LISTEN_WITHOUT_KEYS=true where API Gateway authorizes callers`,
  );
}

interface LambdaHandler<Event, Answer> {
  readonly handle: Handler<Event, Answer>;
  readonly close: () => Promise<void>;
}

function handlerOf<Event, Answer>(open: () => Promise<Instance<Event, Answer>>): LambdaHandler<Event, Answer> {
  let opened: Promise<Instance<Event, Answer>> | undefined;
  return {
    async handle(event, context) {
      opened ??= open();
      const { platform, answer } = await opened.catch((error: unknown) => {
        // The next event tries again.
        opened = undefined;
        throw error;
      });
      const answered = await answer(event, context);
      // An instance is halted between events: what was predicted is written before it may be.
      await platform.predictions.flushNow();
      return answered;
    },
    async close() {
      const instance = await opened;
      if (instance === undefined) return;
      const { log, drainTimeoutMs } = await loadProject();
      await shutDown(instance.platform.services, createLogger({ level: log.level }), drainTimeoutMs);
    },
  };
}

/** @param isLocal - whether events come from this machine alone */
const listenerOf = (name: ListenerFunction, isLocal = false) => handlerOf(() => openListener(name, isLocal));

const functions = {
  ...{ predict: listenerOf('predict'), ingest: listenerOf('ingest'), features: listenerOf('features') },
  trigger: handlerOf(openTrigger),
};
export const predict: Handler = functions.predict.handle;
export const ingest: Handler = functions.ingest.handle;
export const features: Handler = functions.features.handle;
export const trigger: Handler<StreamEvent, StreamAnswer> = functions.trigger.handle;

/** Closes what the functions have opened in this process: AWS halts an instance without a word, tests and commands do not. */
export async function closeFunctions(): Promise<void> {
  for (const { close } of Object.values(functions)) await close();
}

/** `headwater lambda invoke FUNCTION --event FILE`: the function once, here, with what AWS would hand it; its answer as JSON. */
export async function invokeLambda(name: LambdaFunction, { event: path }: { readonly event: string }): Promise<void> {
  const event = await readEvent(path);
  const { handle, close } = (name === 'trigger' ? functions.trigger : listenerOf(name, true)) as LambdaHandler<
    unknown,
    unknown
  >;
  try {
    print(JSON.stringify(await handle(event, { awsRequestId: randomUUID() } as Context)));
  } finally {
    await close();
  }
}

async function readEvent(path: string): Promise<unknown> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new CommandFailedError(`--event ${path} cannot be read: ${error.message}`);
  });
  try {
    return parseExactJsonBytes(bytes);
  } catch (error) {
    if (!(error instanceof InvalidJsonError)) throw error;
    throw new CommandFailedError(`--event ${path} cannot be used: ${error.problems}`);
  }
}
