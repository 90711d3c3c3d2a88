import { idOf } from '#feature_store/definitions/values/entity_key';
import type { JsonObject, JsonValue } from '#kernel/json';
import { isoTime } from '#kernel/time';
import type { PredictionRow } from '../prediction_store/prediction_store.ts';
import type { PredictionExplanation, UsedFeature } from './prediction_explanation.ts';

/**
 * Returns an explanation as the API, `headwater why prediction --json` and the console have it. Times are RFC 3339.
 *
 * @param mayRead - whether the caller may read values of a view; what comes from others is left out
 */
export function predictionJson(
  explanation: PredictionExplanation,
  mayRead: (view: string) => boolean = () => true,
): JsonObject {
  const { prediction, version, chosenBy, threshold, recomputed, outcome } = explanation;
  const { rule, change } = chosenBy;
  return {
    ...rowJson(prediction),
    ...{ request_id: prediction.requestId, row_index: prediction.rowIndex },
    ...{ entity: prediction.entityKey ?? null, rows: explanation.rows, other_answers: explanation.otherAnswers },
    model: {
      name: prediction.modelName,
      version: prediction.modelVersion,
      stage: version?.stage ?? null,
      run_id: version?.runId ?? null,
    },
    chosen_by: {
      ...{ how: chosenBy.how, reason: chosenBy.reason },
      rule: rule === undefined ? null : ({ ...rule } as JsonObject),
      change: change === undefined ? null : { ...change },
    },
    threshold: threshold === undefined ? null : { value: threshold.value, adaptive: threshold.isAdaptive },
    features: explanation.features.map((feature) => featureJson(feature, explanation, mayRead)),
    explanation: (explanation.explanation as JsonValue | undefined) ?? null,
    problem: explanation.problem ?? null,
    recomputed:
      recomputed === undefined ? null : { prediction: recomputed.prediction, outputs: { ...recomputed.probabilities } },
    equal: recomputed === undefined ? null : explanation.difference === undefined,
    difference: explanation.difference ?? null,
    feedback:
      outcome === undefined
        ? null
        : { label: outcome.label ?? null, value: outcome.value ?? null, received_at: isoTime(outcome.receivedAtMs) },
    neighbours: explanation.neighbours.map(rowJson),
  };
}

const rowJson = ({
  predictionId,
  predictedAtMs,
  modelVersion,
  variant,
  experiment,
  prediction,
  probabilities,
}: PredictionRow): JsonObject => ({
  ...{ prediction_id: predictionId, time: isoTime(predictedAtMs), version: modelVersion, prediction },
  ...{ variant: variant ?? null, experiment: experiment ?? null, outputs: { ...probabilities } },
});

function featureJson(
  { name, value, contributions, from, stored }: UsedFeature,
  { prediction: { entityKey, predictedAtMs } }: PredictionExplanation,
  mayRead: (view: string) => boolean,
): JsonObject {
  const isShown = from === undefined || mayRead(from.view);
  const at = isoTime(predictedAtMs);
  return {
    ...{ name, contributions: contributions === undefined ? null : [...contributions] },
    value: isShown ? (value as JsonValue) : null,
    hidden: !isShown,
    from: from === undefined ? null : { view: from.view, feature: from.feature, on_demand: from.isOnDemand },
    stored:
      stored === undefined || !isShown
        ? null
        : {
            ...{ value: stored.value, equal: stored.isEqual, age_ms: predictedAtMs - stored.eventTimeMs },
            ...{ event_time: isoTime(stored.eventTimeMs), computed_at: isoTime(stored.computedAtMs) },
          },
    why:
      from === undefined || from.isOnDemand || entityKey === undefined || !isShown
        ? null
        : `/why/${encodeURIComponent(idOf(entityKey))}/${encodeURIComponent(from.feature)}?${new URLSearchParams({ view: from.view, at })}`,
  };
}
