/** What one event, prediction, entity or row costs, as measured. */
export interface Costs {
  /** CPU time, µs: an event at the gateway, sent alone and in batches of 1,000. */
  readonly ingestUs: number;
  readonly ingestBatchUs: number;
  /** CPU time, µs: the features of an event, computed; read from the broker, computed and written to both stores. */
  readonly featuresUs: number;
  readonly pipelineUs: number;
  /** CPU time, µs: a prediction of values that the request has. */
  readonly predictUs: number;
  /** CPU time, µs: a prediction by entity, with fifteen features from Redis. */
  readonly predictByEntityUs: number;
  readonly redisBytes: number;
  readonly rowBytes: number;
  readonly stateBytes: number;
}

/** What is asked of the platform, and how its machines are filled. */
export interface Target {
  readonly eventsPerSecond: number;
  readonly entities: number;
  readonly predictionsPerSecond: number;
  readonly eventBytes: number;
  /** Share of a core that is planned for; the rest is for peaks and for a lost zone. */
  readonly utilization: number;
  readonly kafkaReplicas: number;
  /** Consumer groups that read every event: features, archive. */
  readonly kafkaReaders: number;
  readonly kafkaDays: number;
  readonly redisReplicas: number;
  /** Share of a Redis node's memory that rows may take. */
  readonly redisFill: number;
  readonly redisNodeBytes: number;
  /** Events that one partition takes, bytes a second. */
  readonly partitionBytesPerSecond: number;
}

export const TARGET: Target = {
  ...{ eventsPerSecond: 1e6, entities: 1e8, predictionsPerSecond: 1e5, eventBytes: 279, utilization: 0.6 },
  ...{ kafkaReplicas: 3, kafkaReaders: 2, kafkaDays: 1, redisReplicas: 2, redisFill: 0.6, redisNodeBytes: 16e9 },
  partitionBytesPerSecond: 5e6,
};

export interface Planned {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
}

const DAY_S = 86_400;

/** Returns what a target takes: the formulas of docs/scale.md. */
export function planFor(target: Target, costs: Costs): readonly Planned[] {
  const { eventsPerSecond: events, entities, predictionsPerSecond: predictions, eventBytes, utilization } = target;
  const cores = (perSecond: number, us: number): number => Math.ceil((perSecond * us) / 1e6 / utilization);
  const pipeline = cores(events, costs.pipelineUs);
  const bytesPerSecond = events * eventBytes;
  const shards = Math.ceil((entities * costs.redisBytes) / target.redisFill / target.redisNodeBytes);
  return [
    { what: 'gateway, batches of 1,000', value: cores(events, costs.ingestBatchUs), unit: 'cores' },
    { what: 'gateway, one event a request', value: cores(events, costs.ingestUs), unit: 'cores' },
    { what: 'stream, computed alone', value: cores(events, costs.featuresUs), unit: 'cores' },
    { what: 'stream, with reading and writing', value: pipeline, unit: 'cores' },
    { what: 'stream, state', value: (entities * costs.stateBytes) / 1e9, unit: 'GB' },
    {
      what: 'Kafka, partitions',
      value: Math.max(pipeline, Math.ceil(bytesPerSecond / target.partitionBytesPerSecond)),
      unit: 'partitions',
    },
    {
      what: 'Kafka, network',
      value: (bytesPerSecond * (target.kafkaReplicas + target.kafkaReaders)) / 1e9,
      unit: 'GB/s',
    },
    {
      what: 'Kafka, disk',
      value: (bytesPerSecond * DAY_S * target.kafkaDays * target.kafkaReplicas) / 1e12,
      unit: 'TB',
    },
    { what: 'Redis, rows', value: (entities * costs.redisBytes * target.redisReplicas) / 1e9, unit: 'GB' },
    { what: 'Redis, shards', value: shards, unit: 'shards' },
    { what: 'PostgreSQL, a row an event', value: (events * costs.rowBytes * DAY_S) / 1e12, unit: 'TB a day' },
    { what: 'serving, values in the request', value: cores(predictions, costs.predictUs), unit: 'cores' },
    {
      what: 'serving, by entity',
      value: cores(predictions, costs.predictByEntityUs),
      unit: 'cores',
    },
  ];
}
