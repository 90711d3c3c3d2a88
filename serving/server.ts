import { fastify } from 'fastify';
import { controlAccess, isOpenToAll } from '#connectors/http/access';
import { registerApiDocs } from '#monitoring/api_docs';
import { HttpService } from '#monitoring/http_service';
import type { ServingConfig } from './config.ts';
import { UnknownServedModelError } from './errors.ts';
import { registerInferenceProtocol } from './routes/inference_protocol.ts';
import { registerPredictRoutes } from './routes/predict.ts';
import { Predictor, type PredictorDeps } from './runtime/predictor.ts';

/** The Open Inference Protocol has health of its own. */
const isOpen = (url: string): boolean => isOpenToAll(url) || /^\/v2\/health(\/|\?|$)/.test(url);

/** The serving tier on port 8000. */
export async function createServing(deps: PredictorDeps, config: ServingConfig): Promise<HttpService> {
  const { models } = deps;
  const app = fastify({ logger: false, bodyLimit: config.maxBodyBytes, requestTimeout: 30_000 });
  await controlAccess(app, config, (url) => !isOpen(url));
  await registerApiDocs(app, { title: 'headwater serving', description: 'Predictions of the production models' });
  const notReady = (): string | undefined => {
    const { waiting } = models;
    return waiting.length === 0 ? undefined : `no version of ${waiting.join(', ')} is loaded`;
  };
  const service = new HttpService({ ...deps, notReady }, { ...config, name: 'serving', portSetting: 'API_PORT' }, app);
  const predictor = new Predictor(deps, config);
  registerInferenceProtocol(app, { models, predictor }, config);
  // With a way of their own to read bodies.
  await app.register((scope) => registerPredictRoutes(scope, { predictor, metrics: deps.metrics }, config));
  app.get('/models', { schema: { summary: 'The served models and their versions' } }, async () => ({
    models: models.status(),
  }));
  app.get<{ Params: { name: string } }>(
    '/models/:name',
    { schema: { summary: 'One served model, with its columns' } },
    async ({ params }) => {
      const variants = models.status().filter(({ name }) => name === params.name);
      const [status] = variants;
      if (status === undefined)
        throw new UnknownServedModelError(
          params.name,
          models.status().map(({ name }) => name),
        );
      const signature = variants.some(({ ready }) => ready) ? models.ready(params.name)?.model.signature : undefined;
      return { ...status, signature, ...(variants.length > 1 ? { variants } : {}) };
    },
  );
  return service;
}
