import { type MqttMessage, mqttIntake } from 'headwater/connectors';

/** What a machine publishes to `plant/MACHINE/METRIC`. */
interface Published {
  /** RFC 3339 */
  readonly at: string;
  readonly value: number;
}

/** Returns the event of a message. Its id is made of machine, metric and time: a message that is delivered again is the same event. */
export function readingOf({ levels, payload }: Pick<MqttMessage, 'levels' | 'payload'>) {
  const [, machine, metric] = levels;
  const { at, value } = JSON.parse(payload.toString('utf8')) as Published;
  return {
    ...{ event_id: `${machine}/${metric}/${at}`, event_type: 'reading', timestamp: at },
    ...{ machine, metric, hour: at.slice(11, 13), value },
  };
}

/** Takes in what the machines of the plant publish. */
export const machines = (url: string) =>
  mqttIntake({ name: 'machines', url, clientId: 'anomalies', topics: ['plant/+/+'], toEvent: readingOf });
