// Answers of a Kafka broker, as bytes without the header that every answer has, for tests that stand in for one.

export interface DescribedPartition {
  /** Of its topic. */
  readonly id: string | undefined;
  readonly leader: string | undefined;
}

export const int16 = (value: number): Buffer => Buffer.from([(value >> 8) & 0xff, value & 0xff]);
export const int32 = (value: number): Buffer => Buffer.concat([int16(value >> 16), int16(value)]);

/** Of Produce, version 7: error codes by partition. */
export function produceAnswer(topic: string, codes: ReadonlyMap<number, number>): Buffer {
  const partitions = [...codes].map(([number, code]) => Buffer.concat([int32(number), int16(code), Buffer.alloc(24)]));
  const name = Buffer.concat([int16(topic.length), Buffer.from(topic)]);
  return Buffer.concat([int32(1), name, int32(codes.size), ...partitions, int32(0)]);
}

/** Of Metadata, version 10: its header and structures end with an empty list of tags. */
export function metadataAnswer(topic: string, partitions: readonly DescribedPartition[]): Buffer {
  const [none, noTags] = [Buffer.from([1]), Buffer.from([0])];
  const described = partitions.map(({ leader }, number) =>
    Buffer.concat([int16(0), int32(number), int32(Number(leader ?? -1)), int32(0), none, none, none, noTags]),
  );
  const id = Buffer.from(partitions[0]?.id ?? '0'.repeat(32), 'hex');
  const name = Buffer.concat([Buffer.from([topic.length + 1]), Buffer.from(topic)]);
  const list = Buffer.concat([Buffer.from([partitions.length + 1]), ...described]);
  const body = Buffer.concat([int16(0), name, id, noTags, list, int32(0), noTags]);
  return Buffer.concat([noTags, int32(0), none, none, int32(0), Buffer.from([2]), body]);
}

/** Of ApiVersions, version 0 to 2: the newest version of each request. */
export function apiVersionsAnswer(newest: Readonly<Record<number, number>>): Buffer {
  const requests = Object.entries(newest);
  const listed = requests.map(([key, version]) => Buffer.concat([int16(Number(key)), int16(0), int16(version)]));
  return Buffer.concat([int16(0), int32(requests.length), ...listed, int32(0)]);
}
