/** `headwater/serving`: plugins of serving, the access of routes, and errors of serving. */
export { PlatformError } from '#kernel/errors';
export type { PluginContext, RolePlugin } from '#monitoring/http/role_plugin';
export { type Access, needs, needsSome, open } from '#monitoring/http/routes/route_access';
export {
  DeadlinePassedError,
  InvalidFeaturesError,
  InvalidRequestError,
  ModelNotReadyError,
  OverloadedError,
  ProviderFailedError,
  UnknownEntityError,
  UnknownServedModelError,
} from '#serving/errors';
export type { InsightProvider, ProviderAnswer, ProviderRequest } from '#serving/insight_provider';
export type { ScoredRow, ScoreRequest, ServingPlugin, ServingPluginContext } from '#serving/plugin';
