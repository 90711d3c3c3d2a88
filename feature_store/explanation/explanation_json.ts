import type { JsonObject, JsonValue } from '#kernel/json';
import { isoTime } from '#kernel/time';
import { idOf } from '../definitions/values/entity_key.ts';
import type { FeatureValue } from '../definitions/values/feature_row.ts';
import { viewId } from '../definitions/values/feature_row.ts';
import { jsonOfValue } from '../definitions/values/value_codec.ts';
import type { ExplainedFormula, UncountedEvent, ValueExplanation } from './value_explanation.ts';

/** Returns an explanation as the API, `headwater why --json` and the console have it. Times are RFC 3339. */
export function explanationJson(explanation: ValueExplanation): JsonObject {
  const { entityKey, view, feature, served, recomputed, window, events, uncounted, refusedRow, usedBy } = explanation;
  const newest = events.items[0];
  return {
    user_id: idOf(entityKey),
    entity: view.entity.name,
    view: viewId(view),
    ...{ feature, type: view.features[feature]?.type ?? null, owner: view.owner },
    description: view.features[feature]?.description ?? null,
    definition: { version: view.version, fingerprint: explanation.fingerprint },
    at: isoTime(explanation.atMs),
    served:
      served === undefined
        ? null
        : {
            value: jsonOfValue(served.value),
            event_time: isoTime(served.row.eventTime),
            computed_at: isoTime(served.row.computedAt),
            from: served.from,
          },
    recomputed:
      recomputed === undefined
        ? null
        : { value: jsonOfValue(recomputed.value), event_time: isoTime(recomputed.timeMs) },
    equal: view.mode === 'push' ? null : explanation.difference === undefined,
    difference: explanation.difference ?? null,
    formula: formulaJson(explanation.formula),
    window:
      window === undefined
        ? null
        : {
            from: isoTime(window.fromMs),
            until: isoTime(window.untilMs),
            step_ms: window.stepMs,
            tiles: window.tiles.map(({ startMs, lengthMs, value, events: count }) => ({
              ...{ start: isoTime(startMs), length_ms: lengthMs, events: count, value: jsonOfValue(value) },
            })),
            passed_over: window.passedOver,
          },
    events: {
      ...{ total: events.total, offset: events.offset },
      items: events.items.map(({ contribution, traceparent, ...event }) => ({
        ...eventJson(event),
        contribution: contributionJson(contribution),
        trace: traceOf(traceparent),
      })),
    },
    uncounted: {
      total: uncounted.total,
      items: uncounted.items.map(({ fate, reason, ...event }) => ({ ...eventJson(event), fate, reason })),
    },
    refused: explanation.refused.map(({ eventId, reason, stage, timestamp }) => ({
      ...{ event_id: eventId ?? null, reason, stage, time: timestamp },
    })),
    refused_row: refusedRow === undefined ? null : { event_time: isoTime(refusedRow.timeMs), rule: refusedRow.rule },
    places: explanation.places.map(({ from, events: count, gaps }) => ({ from, events: count, gaps: [...gaps] })),
    trace: traceOf(newest?.traceparent),
    used_by: {
      models: usedBy.models.map(({ name, version, stage }) => ({ name, version, stage })),
      predictions: usedBy.predictions.map(({ predictionId, requestId, model, version, timeMs }) => ({
        ...{ prediction_id: predictionId, request_id: requestId, model, version, time: isoTime(timeMs) },
      })),
    },
  };
}

const formulaJson = ({ name, kind, formula, value, inputs }: ExplainedFormula): JsonObject => ({
  ...{ name, kind, formula, value: jsonOfValue(value) },
  inputs: inputs.map(formulaJson),
});

const eventJson = ({
  eventId,
  eventTimeMs,
  arrivedAtMs,
  from,
  place,
}: Omit<UncountedEvent, 'fate' | 'reason'>): JsonObject => ({
  ...{ event_id: eventId, time: isoTime(eventTimeMs), arrived_at: isoTime(arrivedAtMs), from, place: place ?? null },
});

/** Values of events are of the types of features, or what JSON gives. */
const contributionJson = (value: unknown): JsonValue =>
  value === undefined ? null : jsonOfValue(value as FeatureValue);

/** The id of a trace, of a W3C traceparent. */
const traceOf = (traceparent: string | undefined): string | null => traceparent?.split('-')[1] ?? null;
