import { quotedText } from '#connectors/files/duckdb/duckdb';

/**
 * Returns a query for labels out of feedback: each prediction by entity whose outcome is known is a moment of that entity, at the time of the prediction;
 * `known_at` is when the outcome was received.
 *
 * @param classes - labels of feedback that stand for 0, 1, …; feedback with another label is left out. `value`: the feedback's value is the label
 */
export function feedbackLabels(model: string, classes: readonly string[] | 'value'): string {
  const label =
    classes === 'value'
      ? 'f.value'
      : `array_position(ARRAY[${classes.map(quotedText).join(', ')}]::text[], f.label) - 1`;
  return `SELECT p.entity_key, p.predicted_at AS event_time, ${label} AS label, p.prediction_id || '#' || p.row_index AS label_id,
  f.received_at AS known_at
FROM prediction_feedback f JOIN predictions p ON p.prediction_id = f.request_id AND p.row_index = f.row_index
WHERE p.model_name = ${quotedText(model)} AND p.entity_key IS NOT NULL AND ${label} IS NOT NULL`;
}
