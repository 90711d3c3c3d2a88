import { mkdir } from 'node:fs/promises';
import type { Broker } from '#connectors/connector';
import { checkWritable } from '#connectors/disk';
import { storeProblemOf } from '#connectors/store_problem';
import type { OnlineStore } from '#feature_store/online/online_store';
import { messageOf } from '#kernel/errors';
import { SECOND_MS } from '#kernel/time';
import {
  DependencyProbe,
  type Health,
  type HealthSource,
  type HealthState,
  reportHealthMetrics,
  whenAllAreDown,
  whenAnyIsDown,
} from '#monitoring/health';
import type { Registry } from '#monitoring/metrics';
import type { ModelRegistry } from '#registry/model_registry';
import type { PredictionSink } from '#serving/prediction_store/prediction_log';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import type { Role } from '../terminal/choices.ts';

/** Names of dependencies in health and in `dependency_problem{dependency}`. */
const BROKER = 'broker';
const ONLINE = 'online store';
const OFFLINE = 'offline store';
const REGISTRY = 'registry';
const DISK = 'disk';

interface Deps {
  readonly broker: Broker;
  readonly online: OnlineStore;
  readonly offline: OfflineDatabase;
  readonly registry: ModelRegistry;
  readonly metrics: Registry;
  /** Of each role that has some. */
  readonly jobs: Readonly<Partial<Record<Role, readonly HealthSource[]>>>;
}

export interface PlatformHealth {
  /** To be started after the stores, and stopped before them. */
  readonly probes: readonly DependencyProbe[];
  of(role: Role): Health;
}

/** Dependencies of each role. */
const DEPENDENCIES: Readonly<Record<Role, readonly string[]>> = {
  gateway: [BROKER, DISK],
  features: [ONLINE, OFFLINE],
  serving: [BROKER, ONLINE, OFFLINE, REGISTRY],
  pipeline: [BROKER, ONLINE, OFFLINE, DISK],
  monitor: [BROKER, OFFLINE, REGISTRY, DISK],
};

/** PGlite answers one statement after the other: behind a long one is no outage. */
const PGLITE_TIMEOUT_MS = 60 * SECOND_MS;
const REGISTRY_EVERY_MS = 15 * SECOND_MS;

/**
 * Health of the roles of this process. Every listener reports all dependencies and jobs of its process; what makes a role not ready is decided
 * per role (docs/monitoring.md): a role that can answer without a dependency stays ready, so that the outage of a shared store does not take
 * every replica out of rotation.
 */
export function createHealth(deps: Deps, config: PlatformConfig, roles: readonly Role[]): PlatformHealth {
  const { broker, online, offline, registry, metrics, jobs } = deps;
  const { topics, dataDirectory } = config;
  const probe = (settings: ConstructorParameters<typeof DependencyProbe>[1]): DependencyProbe =>
    new DependencyProbe({ metrics }, { problemOf: storeProblemOf, ...settings });
  const all: Readonly<Record<string, () => DependencyProbe>> = {
    [BROKER]: () => probe({ name: BROKER, check: async () => void (await broker.listPartitions(topics.rawEvents)) }),
    [ONLINE]: () => probe({ name: ONLINE, check: async () => online.checkHealth?.() }),
    [OFFLINE]: () =>
      probe({
        name: OFFLINE,
        check: () => offline.checkHealth(),
        ...(config.offlineStore.kind === 'pglite' ? { timeoutMs: PGLITE_TIMEOUT_MS } : {}),
      }),
    [REGISTRY]: () =>
      probe({
        ...{ name: REGISTRY, everyMs: REGISTRY_EVERY_MS },
        check: async () => void (await registry.listModels()),
      }),
    [DISK]: () => {
      let made: Promise<unknown> | undefined;
      return probe({
        name: DISK,
        async check() {
          // Once: a folder that vanishes later is a problem to report.
          made ??= mkdir(dataDirectory, { recursive: true });
          await made;
          await checkWritable(dataDirectory);
        },
      });
    },
  };
  const needed = new Set(roles.flatMap((role) => DEPENDENCIES[role]));
  const probes = [...needed].map((name) => (all[name] as () => DependencyProbe)());
  const sources: HealthSource[] = [...probes, ...roles.flatMap((role) => jobs[role] ?? [])];
  reportHealthMetrics(metrics, sources);
  const jobsOf = (role: Role): readonly string[] => (jobs[role] ?? []).map(({ name }) => name);
  const writesToDisk = config.broker.kind === 'disk_log' || config.gateway.spool !== undefined;
  const rules: Readonly<Record<Role, Health['notReady']>> = {
    // With a spool it takes events without the broker; the spool reports itself.
    gateway: whenAnyIsDown([...(config.gateway.spool === undefined ? [BROKER] : []), ...(writesToDisk ? [DISK] : [])]),
    // Either store can answer.
    features: whenAllAreDown([ONLINE, OFFLINE]),
    // Models that are loaded answer without any store; that one is loaded is checked besides.
    serving: () => undefined,
    // No request is routed to these two: they are ready when they do their work.
    pipeline: whenAnyIsDown([...DEPENDENCIES.pipeline, ...jobsOf('pipeline')]),
    monitor: whenAnyIsDown([BROKER, OFFLINE, DISK, ...jobsOf('monitor')]),
  };
  return { probes, of: (role) => ({ sources, notReady: rules[role] }) };
}

/** Health of a worker of workflows: it is ready while its database answers. */
export function workerHealth({ offline, metrics }: Pick<Deps, 'offline' | 'metrics'>): {
  readonly probe: DependencyProbe;
  readonly health: Health;
} {
  const probe = new DependencyProbe(
    { metrics },
    { name: OFFLINE, check: () => offline.checkHealth(), problemOf: storeProblemOf },
  );
  reportHealthMetrics(metrics, [probe]);
  return { probe, health: { sources: [probe], notReady: whenAnyIsDown([OFFLINE]) } };
}

/** A log that cannot write for so long is down. */
const LOG_DOWN_AFTER_MS = 10 * SECOND_MS;

/** Watches the sinks of the prediction log: it is a job of the role serving. */
export function watchPredictionSinks(
  sinks: readonly PredictionSink[],
  now: () => number,
): { readonly sinks: readonly PredictionSink[]; readonly source: HealthSource } {
  /** Sinks that fail now. */
  const failing = new Map<string, { readonly sinceMs: number; readonly error: string }>();
  const state = (): HealthState => {
    const [first] = failing;
    if (first === undefined) return { status: 'up' };
    const [target, { sinceMs, error }] = first;
    const forMs = now() - sinceMs;
    const status = forMs >= LOG_DOWN_AFTER_MS ? 'down' : 'degraded';
    return {
      status,
      reason: `predictions could not be written to the ${target} for ${Math.round(forMs / 1_000)} s: ${error}`,
    };
  };
  const watched = sinks.map(
    (sink): PredictionSink => ({
      target: sink.target,
      async write(rows) {
        try {
          await sink.write(rows);
          failing.delete(sink.target);
        } catch (error) {
          failing.set(sink.target, { sinceMs: failing.get(sink.target)?.sinceMs ?? now(), error: messageOf(error) });
          throw error;
        }
      },
    }),
  );
  return { sinks: watched, source: { kind: 'job', name: 'prediction log', state } };
}
