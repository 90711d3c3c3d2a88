// What an environment of infra/aws costs by the month, by formula. Prices are on-demand list prices of eu-central-1 in US dollars, rounded and taken
// down by hand on the date below; AWS's calculator has the day's. Discounts, taxes and support are left out.

export const PRICES_OF = '2026-11';
const HOURS_A_MONTH = 730;
const HOURS_A_WEEK = 168;

/** By the hour. */
const HOURLY: Readonly<Record<string, number>> = {
  'eks cluster': 0.1,
  't3.large': 0.096,
  'm7i.large': 0.121,
  'm7i.xlarge': 0.242,
  'kafka.t3.small': 0.055,
  'kafka.m7g.large': 0.245,
  'db.t4g.micro': 0.018,
  'db.t4g.small': 0.037,
  'db.t4g.medium': 0.074,
  'db.m7g.large': 0.2,
  'db.r7g.xlarge': 0.57,
  'cache.t4g.small': 0.038,
  'cache.m7g.large': 0.188,
  'cache.r7g.large': 0.26,
  'nat gateway': 0.052,
  'load balancer': 0.027,
};
/** By the gigabyte: stored for a month, or sent. */
const GIGABYTE = {
  disk: 0.095,
  kafkaDisk: 0.119,
  databaseDisk: 0.137,
  s3: 0.0245,
  natTraffic: 0.052,
  internet: 0.09,
  zones: 0.02,
} as const;
/** Spot nodes against on-demand ones of the same type. */
const SPOT = 0.35;
const NODE_DISK_GB = 50;

export interface Sizes {
  readonly zones: number;
  /** Databases in two zones, a NAT gateway in each. */
  readonly survivesAZone: boolean;
  readonly nodeType: string;
  /** As many as run on average while they run. */
  readonly nodes: number;
  readonly spotNodeType?: string;
  readonly spotNodes: number;
  readonly kafkaType: string;
  readonly kafkaDiskGb: number;
  readonly postgresClass: string;
  readonly postgresDiskGb: number;
  readonly readReplicas: number;
  readonly mlflowClass: string;
  readonly redisType: string;
  readonly redisShards: number;
  readonly redisReplicas: number;
  /** Hours a week that nodes and databases run: 168, or fewer with a schedule. */
  readonly hoursAWeek: number;
}

export interface Load {
  readonly eventsPerSecond: number;
  readonly bytesPerEvent: number;
  readonly keptDays: number;
  readonly predictionsPerSecond: number;
  readonly bytesPerPrediction: number;
}

export type Costs = Readonly<Record<'kubernetes' | 'kafka' | 'postgres' | 'redis' | 's3' | 'network', number>>;

function hourly(name: string): number {
  const price = HOURLY[name];
  if (price === undefined) throw new RangeError(`there is no price of "${name}": add it to scripts/terraform/costs.ts`);
  return price;
}

/** Returns US dollars a month by part. */
export function costsOf(sizes: Sizes, load: Load): Costs {
  const running = HOURS_A_MONTH * (sizes.hoursAWeek / HOURS_A_WEEK);
  const copies = sizes.survivesAZone ? 2 : 1;
  const secondsAMonth = HOURS_A_MONTH * 3600;
  const eventGb = (load.eventsPerSecond * load.bytesPerEvent * secondsAMonth) / 1e9;
  const predictionGb = (load.predictionsPerSecond * load.bytesPerPrediction * secondsAMonth) / 1e9;
  const keptGb = eventGb * (load.keptDays / (HOURS_A_MONTH / 24));
  const databases =
    hourly(sizes.postgresClass) * (copies * (1 + sizes.readReplicas)) + hourly(sizes.mlflowClass) * copies;
  const databaseDisks = (sizes.postgresDiskGb * (1 + sizes.readReplicas) + 20) * copies;
  return {
    kubernetes:
      hourly('eks cluster') * HOURS_A_MONTH +
      running *
        (hourly(sizes.nodeType) * sizes.nodes +
          (sizes.spotNodes === 0 ? 0 : hourly(sizes.spotNodeType ?? sizes.nodeType) * SPOT * sizes.spotNodes)) +
      GIGABYTE.disk * NODE_DISK_GB * (sizes.nodes + sizes.spotNodes) * (running / HOURS_A_MONTH),
    kafka: sizes.zones * (hourly(sizes.kafkaType) * HOURS_A_MONTH + GIGABYTE.kafkaDisk * sizes.kafkaDiskGb),
    postgres: databases * running + GIGABYTE.databaseDisk * databaseDisks,
    redis: hourly(sizes.redisType) * sizes.redisShards * (1 + sizes.redisReplicas) * HOURS_A_MONTH,
    s3: GIGABYTE.s3 * keptGb,
    network:
      (hourly('nat gateway') * (sizes.survivesAZone ? sizes.zones : 1) + hourly('load balancer')) * HOURS_A_MONTH +
      // An event crosses zones about twice: from the gateway to a broker and from there to the pipeline, two of three times each.
      GIGABYTE.zones * eventGb * 2 * (2 / 3) +
      GIGABYTE.internet * predictionGb,
  };
}

export const totalOf = (costs: Costs): number => Object.values(costs).reduce((sum, part) => sum + part, 0);

/** The sizes of the environments, which a test holds against infra/aws/environments, with the load that they are made for. */
export const ENVIRONMENTS: Readonly<
  Record<'dev' | 'staging' | 'prod', { readonly sizes: Sizes; readonly load: Load }>
> = {
  dev: {
    sizes: {
      ...{ zones: 3, survivesAZone: false, hoursAWeek: 65 },
      ...{ nodeType: 't3.large', nodes: 2, spotNodeType: 'm7i.large', spotNodes: 1 },
      ...{
        kafkaType: 'kafka.t3.small',
        kafkaDiskGb: 20,
        redisType: 'cache.t4g.small',
        redisShards: 1,
        redisReplicas: 0,
      },
      ...{ postgresClass: 'db.t4g.medium', postgresDiskGb: 20, readReplicas: 0, mlflowClass: 'db.t4g.micro' },
    },
    load: { eventsPerSecond: 10, bytesPerEvent: 500, keptDays: 30, predictionsPerSecond: 1, bytesPerPrediction: 1000 },
  },
  staging: {
    sizes: {
      ...{ zones: 3, survivesAZone: true, hoursAWeek: 65 },
      ...{ nodeType: 'm7i.large', nodes: 2, spotNodeType: 'm7i.large', spotNodes: 1 },
      ...{
        kafkaType: 'kafka.m7g.large',
        kafkaDiskGb: 100,
        redisType: 'cache.m7g.large',
        redisShards: 1,
        redisReplicas: 1,
      },
      ...{ postgresClass: 'db.m7g.large', postgresDiskGb: 50, readReplicas: 0, mlflowClass: 'db.t4g.small' },
    },
    load: {
      eventsPerSecond: 200,
      bytesPerEvent: 500,
      keptDays: 90,
      predictionsPerSecond: 20,
      bytesPerPrediction: 1000,
    },
  },
  prod: {
    sizes: {
      ...{ zones: 3, survivesAZone: true, hoursAWeek: 168 },
      ...{ nodeType: 'm7i.xlarge', nodes: 4, spotNodes: 0 },
      ...{
        kafkaType: 'kafka.m7g.large',
        kafkaDiskGb: 500,
        redisType: 'cache.r7g.large',
        redisShards: 1,
        redisReplicas: 2,
      },
      ...{ postgresClass: 'db.r7g.xlarge', postgresDiskGb: 200, readReplicas: 1, mlflowClass: 'db.m7g.large' },
    },
    load: {
      eventsPerSecond: 2000,
      bytesPerEvent: 500,
      keptDays: 400,
      predictionsPerSecond: 300,
      bytesPerPrediction: 1000,
    },
  },
};
