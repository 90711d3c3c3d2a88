import type { OutgoingRecord, Producer } from '#connectors/connector';
import { RecordRefusedError } from '../errors.ts';

/** Records that the broker refuses for good, by their place in what was sent. */
export type Refusals = ReadonlyMap<number, RecordRefusedError>;

const NONE: Refusals = new Map();

/**
 * Sends records; when the broker refuses them for good, halves are sent, down to single records: one that it cannot take does not keep back the
 * others. Some may reach the broker twice; pipelines drop repeated ids.
 *
 * @returns what was refused
 * @throws whatever else the producer fails with: then none may be assumed sent
 */
export async function sendApart(
  producer: Producer,
  topic: string,
  records: readonly OutgoingRecord[],
): Promise<Refusals> {
  try {
    await producer.send(topic, records);
    return NONE;
  } catch (error) {
    if (!(error instanceof RecordRefusedError)) throw error;
    if (records.length === 1) return new Map([[0, error]]);
    const middle = records.length >> 1;
    const refused = new Map(await sendApart(producer, topic, records.slice(0, middle)));
    for (const [at, refusal] of await sendApart(producer, topic, records.slice(middle))) {
      refused.set(middle + at, refusal);
    }
    return refused;
  }
}
