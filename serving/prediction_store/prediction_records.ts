import type { Broker, OutgoingRecord } from '#connectors/connector';
import type { NewPrediction } from './prediction_store.ts';
import { withFeatures } from './sql_predictions.ts';

// Predictions as records of their topic: the platform's own JSON, or CloudEvents 1.0 with it as their data, named as KServe's logger names them.

export const PREDICTION_FORMATS = ['json', 'cloudevents'] as const;
export type PredictionFormat = (typeof PREDICTION_FORMATS)[number];

const JSON_TYPE = 'application/json';

/** Writes predictions to their topic. CloudEvents are in binary mode, in structured mode where records have no headers. */
export async function sendPredictions(
  { producer, hasHeaders }: Pick<Broker, 'producer' | 'hasHeaders'>,
  { topic, format }: { readonly topic: string; readonly format: PredictionFormat },
  rows: readonly NewPrediction[],
): Promise<void> {
  const recordOf = format === 'json' ? plainRecord : hasHeaders ? binaryEvent : structuredEvent;
  await producer.send(topic, rows.map(recordOf));
}

function plainRecord({ features, ...row }: NewPrediction): OutgoingRecord {
  return { key: row.entityKey, value: withFeatures(row, features) };
}

function binaryEvent(row: NewPrediction): OutgoingRecord {
  const attributes = Object.entries(attributesOf(row)).map(([name, value]) => [`ce_${name}`, value]);
  return { ...plainRecord(row), headers: { ...Object.fromEntries(attributes), 'content-type': JSON_TYPE } };
}

function structuredEvent(row: NewPrediction): OutgoingRecord {
  const { key, value } = plainRecord(row);
  const head = JSON.stringify({ ...attributesOf(row), datacontenttype: JSON_TYPE });
  return { key, value: `${head.slice(0, -1)},"data":${value}}` };
}

/** Names and values of what is about the event. */
function attributesOf(row: NewPrediction): Readonly<Record<string, string>> {
  const { predictionId, rowIndex, modelName, modelVersion, variant, entityKey, predictedAtMs } = row;
  return {
    specversion: '1.0',
    id: `${predictionId}#${rowIndex}`,
    source: `/models/${encodeURIComponent(modelName)}/versions/${modelVersion}`,
    type: 'headwater.prediction',
    time: new Date(predictedAtMs).toISOString(),
    inferenceservicename: modelName,
    component: 'predictor',
    ...(variant === undefined ? {} : { endpoint: variant }),
    ...(entityKey === undefined ? {} : { subject: entityKey }),
  };
}
