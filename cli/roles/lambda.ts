import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import awsLambdaFastify from '@fastify/aws-lambda';
import type { APIGatewayProxyEvent, APIGatewayProxyEventV2, Context } from 'aws-lambda';
import { ConfigError } from '#configs/errors';
import type { AccessConfig } from '#connectors/http/config';
import { hasCallers } from '#connectors/http/key_ring';
import { InvalidJsonError, parseExactJsonBytes } from '#kernel/exact/exact_json';
import { createLogger, type Logger } from '#monitoring/log';
import { ensureInitialModels } from '../project/initial_models.ts';
import { loadProject } from '../project/project.ts';
import { type LAMBDA_FUNCTIONS, PORTS } from '../terminal/choices.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print } from '../terminal/print.ts';
import { shutDown } from '../terminal/shutdown.ts';
import { type Platform, startPlatform } from './platform.ts';

// The listeners as AWS Lambda functions behind API Gateway, a function URL or a load balancer: `dist/cli/roles/lambda.predict` and so on as the handler.
// The same routes answer as in a process of their own.

type Event = APIGatewayProxyEvent | APIGatewayProxyEventV2;
type Answer = awsLambdaFastify.LambdaResponse;
type Handler = (event: Event, context: Context) => Promise<Answer>;

type LambdaFunction = (typeof LAMBDA_FUNCTIONS)[number];
const ROLE_OF = { predict: 'serving', ingest: 'gateway', features: 'features' } as const satisfies Record<
  LambdaFunction,
  string
>;

interface Instance {
  readonly platform: Platform;
  readonly answer: Handler;
}

/** What an instance of a function opens at its first event, and keeps for those after it. */
async function open(name: LambdaFunction, isLocal: boolean): Promise<Instance> {
  const config = await loadProject();
  const role = ROLE_OF[name];
  // No client connects: events come from Lambda.
  const unbound = { host: '127.0.0.1', port: 0, allowedHosts: ['*'] };
  const log = createLogger({ level: config.log.level });
  if (!isLocal) requireCallers(name, config[PORTS[role].settings], log);
  const platform = await startPlatform(
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
  const answer = awsLambdaFastify(platform.listeners[role].app, { decorateRequest: false }) as Handler;
  return { platform, answer };
}

/** @throws {@link ConfigError} for a function that would answer every caller of its URL */
function requireCallers(name: LambdaFunction, access: AccessConfig, log: Logger): void {
  if (access.withoutKeys || hasCallers(access, log)) return;
  throw new ConfigError(
    `function ${name} has no key and no token issuer: set its apiKeys, keysFile or jwt, or LISTEN_WITHOUT_KEYS=true where API Gateway authorizes callers`,
  );
}

/** @param isLocal - whether events come from this machine alone */
function handlerOf(
  name: LambdaFunction,
  isLocal = false,
): { readonly handle: Handler; readonly close: () => Promise<void> } {
  let opened: Promise<Instance> | undefined;
  return {
    async handle(event, context) {
      opened ??= open(name, isLocal);
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

const functions = { predict: handlerOf('predict'), ingest: handlerOf('ingest'), features: handlerOf('features') };
export const predict: Handler = functions.predict.handle;
export const ingest: Handler = functions.ingest.handle;
export const features: Handler = functions.features.handle;

/** Closes what the functions have opened in this process: AWS halts an instance without a word, tests and commands do not. */
export async function closeFunctions(): Promise<void> {
  for (const { close } of Object.values(functions)) await close();
}

/** `headwater lambda invoke FUNCTION --event FILE`: the function once, here, with what API Gateway would hand it; its answer as JSON. */
export async function invokeLambda(name: LambdaFunction, { event: path }: { readonly event: string }): Promise<void> {
  const event = await readEvent(path);
  const { handle, close } = handlerOf(name, true);
  try {
    print(JSON.stringify(await handle(event, { awsRequestId: randomUUID() } as Context)));
  } finally {
    await close();
  }
}

async function readEvent(path: string): Promise<Event> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new CommandFailedError(`--event ${path} cannot be read: ${error.message}`);
  });
  try {
    return parseExactJsonBytes(bytes) as Event;
  } catch (error) {
    if (!(error instanceof InvalidJsonError)) throw error;
    throw new CommandFailedError(`--event ${path} cannot be used: ${error.problems}`);
  }
}
