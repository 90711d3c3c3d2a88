import type { FeatureService } from '#feature_store/definitions/feature_service';
import type { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { requestFields } from '#feature_store/retrieval/feature_vector';
import type { PluginContext, RolePlugin } from '#monitoring/http/role_plugin';
import { listOf } from './inference/answered_rows.ts';
import type { Features, Predictor, Row } from './inference/predictor.ts';
import type { Predicted } from './models/interpret.ts';
import { idsOf } from './protocol/requests.ts';

/** Rows that a plugin scores. */
export type ScoreRequest = {
  /** May be left out where one model is served. */
  readonly model?: string | undefined;
  /** Names the request in the prediction log: `request.id`. */
  readonly requestId: string;
} & ({ readonly entities: readonly string[] } | { readonly instances: readonly Features[] });

/** What a model answered for one row. */
export interface ScoredRow extends Predicted {
  readonly modelName: string;
  readonly modelVersion: number;
  /** `production`, `canary`, or one of an experiment. */
  readonly variant: string;
  /** Names this answer in feedback. */
  readonly predictionId: string;
}

/** What a plugin of serving gets. */
export interface ServingPluginContext extends PluginContext {
  /**
   * Scores rows as `POST /predict` does: the same routing, limits, metrics and log. Whether the caller may use the model is the route's `access` to declare.
   *
   * @throws UnknownServedModelError, UnknownEntityError, InvalidFeaturesError, OverloadedError; each has its HTTP answer when a route lets it through
   */
  score(request: ScoreRequest): Promise<readonly ScoredRow[]>;
  /** Returns the columns of a service for entities, in their order; undefined where an entity is unknown. */
  vectors(
    // biome-ignore lint/suspicious/noExplicitAny: of whatever columns
    service: FeatureService<any> | string,
    entities: readonly string[],
    request?: Readonly<Record<string, unknown>>,
  ): Promise<readonly (Features | undefined)[]>;
}

/** Routes that a project adds to serving. */
export type ServingPlugin = RolePlugin<ServingPluginContext>;

/** Returns what plugins of serving get besides log and metrics. */
export function servingForPlugins(
  predictor: Predictor,
  features: FeatureReader,
): Pick<ServingPluginContext, 'score' | 'vectors'> {
  const scoreTogether = async (
    model: string | undefined,
    entities: readonly string[] | undefined,
    instances: readonly Features[],
    requestId: string,
  ): Promise<readonly ScoredRow[]> => {
    const subject = entities === undefined ? { features: instances[0] } : { entity: entities[0] };
    const active = await predictor.choose(model, subject);
    const rows: readonly Row[] =
      entities === undefined
        ? instances.map((each) => ({ features: each, entity: undefined }))
        : await predictor.lookUp(active, entities, {}, false);
    const input = predictor.encode(active, rows, (index) => `rows.${index}.`);
    const inferred = await predictor.infer(active, input, rows.length, undefined, listOf(rows));
    const ids = idsOf(requestId);
    const { name, version, variant } = inferred.by;
    const who = { modelName: name, modelVersion: version, variant, predictionId: ids.predictionId };
    return predictor
      .finish(inferred, ids, listOf(rows))
      .all()
      .map((predicted) => ({ ...predicted, ...who }));
  };
  return {
    async score(request) {
      const { model, requestId } = request;
      const entities = 'entities' in request ? request.entities : undefined;
      const instances = 'instances' in request ? request.instances : [];
      const count = entities?.length ?? instances.length;
      if (count === 0) return [];
      await predictor.ensure(model);
      if (count === 1 || !predictor.isSplit(model)) return scoreTogether(model, entities, instances, requestId);
      // Several versions answer: each row by its own.
      const scored = await Promise.all(
        Array.from({ length: count }, (_, index) =>
          scoreTogether(model, entities?.slice(index, index + 1), instances.slice(index, index + 1), requestId),
        ),
      );
      return scored.flat();
    },
    async vectors(service, entities, request = {}) {
      const of = typeof service === 'string' ? features.get(service) : features.get(service.signature.service);
      const fields = requestFields(of, request);
      const vectors = await features.read(
        of,
        entities.map((entity) => ({ entity, request: fields })),
      );
      return vectors.map(({ values, isKnown, failure }) => {
        if (failure !== undefined) throw failure;
        return isKnown ? values : undefined;
      });
    },
  };
}
