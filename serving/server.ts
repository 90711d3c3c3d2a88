import { Readable } from 'node:stream';
import cors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';
import type { DeadLetterWriter } from '#connectors/dead_letter_writer';
import { controlAccess, isOpenToAll } from '#connectors/http/access';
import { registerApiDocs } from '#monitoring/api_docs';
import { createHttpApp } from '#monitoring/http_app';
import { HttpService, type HttpServiceDeps } from '#monitoring/http_service';
import type { ServingConfig } from './config.ts';
import { isConsolePage, registerConsole } from './console/routes.ts';
import type { ConsoleSources } from './console/sources.ts';
import { UnknownServedModelError } from './errors.ts';
import { type FeedbackStore, registerFeedbackRoutes } from './routes/feedback.ts';
import { registerInferenceProtocol } from './routes/inference_protocol.ts';
import { registerPredictRoutes } from './routes/predict.ts';
import { refuseUnstorable } from './routes/requests.ts';
import { registerRoutingRoutes } from './routes/routing.ts';
import { ScannedBody } from './routes/scanned_body.ts';
import * as schemas from './routes/schemas.ts';
import type { ModelServer } from './runtime/model_server.ts';
import { Predictor, type PredictorDeps } from './runtime/predictor.ts';

export interface ServingDeps extends PredictorDeps, Pick<HttpServiceDeps, 'scrape'> {
  /** Where outcomes of predictions are kept; without, nobody can tell them. */
  readonly feedback?: FeedbackStore;
  /** For feedback that its store refuses. */
  readonly deadLetters?: Pick<DeadLetterWriter, 'write'>;
  /** What the console shows; absent: there is none. */
  readonly console?: ConsoleSources | undefined;
}

/** The Open Inference Protocol and SageMaker have health of their own. */
const isOpen = (url: string): boolean =>
  isOpenToAll(url) || isConsolePage(url) || /^\/(v2\/health|ping)(\/|\?|$)/.test(url);

/** Large uploads of lines take their time. */
const REQUEST_TIMEOUT_MS = 300_000;

/** The serving tier on port 8000. */
export async function createServing(deps: ServingDeps, config: ServingConfig): Promise<HttpService> {
  const { models, feedback } = deps;
  const predictor = new Predictor(deps, config);
  const app = createHttpApp(config.tls, { bodyLimit: config.maxBodyBytes, requestTimeout: REQUEST_TIMEOUT_MS });
  // The schemas describe: routes check what they are given themselves, and name every mistake.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (answer) => JSON.stringify(answer));
  app.decorateRequest('arrivedMs', 0);
  app.addHook('onRequest', (request, _, done) => {
    request.arrivedMs = performance.now();
    // Before its body is read.
    if (request.method === 'POST') predictor.admission.enter();
    done();
  });
  await secure(app, config);
  await controlAccess(app, config, (url) => !isOpen(url));
  await registerApiDocs(app, { title: 'headwater serving', description: 'Predictions of the production models' });
  const notReady = (): string | undefined => {
    const { waiting } = models;
    return waiting.length === 0 ? undefined : `no version of ${waiting.join(', ')} is loaded`;
  };
  // Scanned rows hold numbers and known categories; lines are checked one by one.
  refuseUnstorable(app, (body) => body instanceof ScannedBody || ArrayBuffer.isView(body) || body instanceof Readable);
  const address = { ...config, name: 'serving', portSetting: 'API_PORT' };
  const service = new HttpService({ ...deps, notReady }, address, app);
  registerInferenceProtocol(app, { models, predictor }, config);
  // With a way of their own to read bodies.
  await app.register((scope) => registerPredictRoutes(scope, { predictor, metrics: deps.metrics }, config));
  registerRoutingRoutes(app, models);
  if (feedback !== undefined) registerFeedbackRoutes(app, { ...deps, feedback });
  registerModelRoutes(app, models);
  if (deps.console !== undefined) registerConsole(app, deps.console);
  return service;
}

/** Headers for browsers, and which pages may ask. */
async function secure(app: FastifyInstance, { corsOrigins, tls }: ServingConfig): Promise<void> {
  if (corsOrigins.length > 0) await app.register(cors, { origin: [...corsOrigins], maxAge: 600 });
  // Answers are data: nothing of them is to be run, framed, guessed at or kept. The documents bring a policy of their own.
  const headers = {
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-resource-policy': corsOrigins.length > 0 ? 'cross-origin' : 'same-origin',
    ...(tls === undefined ? {} : { 'strict-transport-security': 'max-age=31536000' }),
  };
  app.addHook('onRequest', (_, reply, done) => {
    reply.headers(headers);
    done();
  });
}

function registerModelRoutes(app: FastifyInstance, models: ModelServer): void {
  app.get('/models', { schema: schemas.listModels }, async () => ({ models: models.status() }));
  app.get<{ Params: { name: string } }>('/models/:name', { schema: schemas.oneModel }, async ({ params }) => {
    const variants = models.status().filter(({ name }) => name === params.name);
    const [status] = variants;
    if (status === undefined) {
      throw new UnknownServedModelError(
        params.name,
        models.status().map(({ name }) => name),
      );
    }
    const signature = variants.some(({ ready }) => ready) ? models.ready(params.name)?.model.signature : undefined;
    return { ...status, signature, ...(variants.length > 1 ? { variants } : {}) };
  });
}
