import type { FastifyInstance } from 'fastify';
import type { DeadLetterWriter } from '#connectors/dead_letters/dead_letter_writer';
import { controlAccess, hasScope } from '#connectors/http/access';
import { acceptCompressedBodies } from '#monitoring/http/compressed_body';
import { registerApiDocs } from '#monitoring/http/docs/api_docs';
import { createHttpApp } from '#monitoring/http/http_app';
import { HttpService, type HttpServiceDeps } from '#monitoring/http/http_service';
import { registerPlugins } from '#monitoring/http/role_plugin';
import { needs, needsSome } from '#monitoring/http/routes/route_access';
import type { ServingConfig } from './config.ts';
import { registerConsole } from './console/routes.ts';
import type { ConsoleSources } from './console/sources.ts';
import { UnknownServedModelError } from './errors.ts';
import type { ExplainPrediction } from './explain/prediction_explanation.ts';
import type { ModelServer } from './inference/model_server.ts';
import { Predictor, type PredictorDeps } from './inference/predictor.ts';
import { type ServingPlugin, servingForPlugins } from './plugin.ts';
import { type FeedbackStores, registerFeedbackRoutes } from './protocol/feedback.ts';
import { OpenInferenceService } from './protocol/grpc/open_inference_service.ts';
import { registerInvocations } from './protocol/invocations.ts';
import { registerInferenceProtocol } from './protocol/open_inference/inference_protocol.ts';
import { registerPredictRoutes } from './protocol/predict.ts';
import { PROTOCOL_ERRORS } from './protocol/protocol_errors.ts';
import { registerRoutingRoutes } from './protocol/routing.ts';
import * as schemas from './protocol/schemas.ts';
import { type ModelVersions, registerVersionRoutes } from './protocol/versions.ts';
import { registerWhyRoute } from './protocol/why.ts';

export interface ServingDeps extends PredictorDeps, Pick<HttpServiceDeps, 'scrape' | 'health'> {
  /** Where outcomes of predictions are kept; without, clients cannot report them. */
  readonly feedback?: FeedbackStores;
  /** For feedback that its store refuses. */
  readonly deadLetters?: Pick<DeadLetterWriter, 'write'>;
  /** The registry's versions, and moves between stages; absent: there are no routes for them. */
  readonly versions?: ModelVersions | undefined;
  /** Explains logged predictions; absent: there is no route for it. */
  readonly explainPrediction?: ExplainPrediction | undefined;
  /** What the console shows; absent: there is none. */
  readonly console?: ConsoleSources | undefined;
  /** Of the project. */
  readonly plugins?: readonly ServingPlugin[];
}

/** Large uploads of lines take their time. */
const REQUEST_TIMEOUT_MS = 300_000;

/** The serving tier on port 8000. */
export async function createServing(deps: ServingDeps, config: ServingConfig): Promise<HttpService> {
  const { models, feedback, log, metrics, plugins = [] } = deps;
  const predictor = new Predictor(deps, config);
  const limits = { bodyLimit: config.maxBodyBytes, requestTimeout: REQUEST_TIMEOUT_MS };
  const app = createHttpApp(config.tls, { ...limits, errorForms: PROTOCOL_ERRORS });
  app.setSerializerCompiler(() => (answer) => JSON.stringify(answer));
  app.decorateRequest('arrivedMs', 0);
  await acceptCompressedBodies(app);
  await controlAccess(app, config, deps.log);
  app.addHook('onRequest', (request, _, done) => {
    request.arrivedMs = performance.now();
    // Before its body is read.
    if (request.method === 'POST') predictor.admission.enter();
    done();
  });
  const notReady = (): string | undefined => {
    const { waiting } = models;
    return waiting.length === 0 ? undefined : `no version of ${waiting.join(', ')} is loaded`;
  };
  const address = { ...config, name: 'serving', portSetting: 'API_PORT' };
  const beside =
    config.grpc === undefined
      ? undefined
      : new OpenInferenceService({ app, log: deps.log }, { ...config, port: config.grpc.port });
  const service = new HttpService({ ...deps, notReady, beside }, address, app);
  await registerApiDocs(app, { title: 'headwater serving', description: 'Predictions of the production models' });
  registerInferenceProtocol(app, { models, predictor }, config);
  await app.register((scope) => registerInvocations(scope, { models, predictor }, config));
  // With a way of their own to read bodies.
  await app.register((scope) =>
    registerPredictRoutes(
      scope,
      { predictor, metrics: deps.metrics },
      { ...config, maxLineBytes: config.maxBodyBytes },
    ),
  );
  registerRoutingRoutes(app, models);
  if (feedback !== undefined) registerFeedbackRoutes(app, { ...deps, feedback });
  registerModelRoutes(app, models);
  if (deps.versions !== undefined) registerVersionRoutes(app, deps.versions);
  if (deps.explainPrediction !== undefined) registerWhyRoute(app, deps.explainPrediction);
  if (deps.console !== undefined) registerConsole(app, deps.console);
  await registerPlugins(app, plugins, { log, metrics, ...servingForPlugins(predictor, deps.features) });
  return service;
}

function registerModelRoutes(app: FastifyInstance, models: ModelServer): void {
  const list = { schema: schemas.listModels, config: { access: needsSome('predict') } };
  app.get('/models', list, async (request) => ({
    models: models.status().filter(({ name }) => hasScope(request, 'predict', name)),
  }));
  const one = { schema: schemas.oneModel, config: { access: needs(({ name }) => `predict:${name}`) } };
  app.get<{ Params: { name: string } }>('/models/:name', one, async (request) => {
    const { params } = request;
    const variants = models.status().filter(({ name }) => name === params.name);
    const [status] = variants;
    if (status === undefined) {
      throw new UnknownServedModelError(
        params.name,
        models.status().flatMap(({ name }) => (hasScope(request, 'predict', name) ? [name] : [])),
      );
    }
    const signature = variants.some(({ ready }) => ready) ? models.ready(params.name)?.model.signature : undefined;
    return { ...status, signature, ...(variants.length > 1 ? { variants } : {}) };
  });
}
