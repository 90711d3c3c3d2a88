import { type Clock, DAY_MS } from '#kernel/time';
import type { HealthSource } from '#monitoring/health';
import type { AlertStatus, Change, ChangeFilter, Overview, Page, PartStatus } from '#serving/console/answers';
import type { Figures } from '#serving/console/figures';
import type { ModelServer } from '#serving/inference/model_server';
import type { OfflineDatabase } from '../../parts/offline_database.ts';
import { type CountOfVersion, keptFor } from './version_counts.ts';

interface Deps {
  readonly parts: () => readonly HealthSource[];
  readonly alerts: () => Promise<readonly AlertStatus[] | undefined>;
  readonly figures: () => Figures | undefined;
  readonly models: Pick<ModelServer, 'status'>;
  readonly counts: CountOfVersion;
  readonly changes: (filter: ChangeFilter) => Promise<Page<Change>>;
  readonly letters: () => Promise<number>;
  readonly offline: Pick<OfflineDatabase, 'drift' | 'workflows'>;
  readonly clock: Clock;
}

const CHANGES = 8;
const REPORTS = 200;
const RUNS = 100;
/** Windows older than this say nothing about today. */
const DRIFT_MS = DAY_MS;
const LETTERS_KEPT_MS = 10_000;

/** Returns what the first page shows: whether all is right, and what waits for a person. */
export function overviewOf(deps: Deps): () => Promise<Overview> {
  const letters = keptFor(LETTERS_KEPT_MS, deps.letters);
  return async () => {
    const sinceMs = deps.clock.now() - DAY_MS;
    const [alerts, counts, changes, waiting, runs, reports] = await Promise.all([
      // A Prometheus that does not answer is shown as that, and takes the page with it no further.
      deps.alerts().catch(() => undefined),
      deps.counts(sinceMs),
      deps.changes({ sinceMs, offset: 0, limit: CHANGES }),
      letters(),
      deps.offline.workflows.list({ status: 'running', limit: RUNS }),
      deps.offline.drift.list({ limit: REPORTS, sinceMs: deps.clock.now() - DRIFT_MS }),
    ]);
    const served = deps.models.status();
    const newest = new Map([...reports].reverse().map((report) => [`${report.model} ${report.version}`, report]));
    return {
      parts: deps.parts().map(partOf),
      alerts,
      figures: deps.figures(),
      models: served.map(({ name, variant, version, ready, rejected }) => ({
        ...{ name, variant, version, ready, rejected: rejected?.reason },
        predictions: version === undefined ? 0 : (counts.get(`${name} ${version}`) ?? 0),
      })),
      approvals: runs.flatMap((run) =>
        run.at
          .filter(({ phase }) => phase === 'token')
          .map(({ state }) => ({ run: run.id, workflow: run.workflow, state })),
      ),
      drifted: [...newest.values()].flatMap(({ model, version, columns }) => {
        const drifted = columns.filter((column) => column.drifted).map(({ column }) => column);
        const isServed = served.some((each) => each.name === model && each.version === version);
        return drifted.length === 0 || !isServed ? [] : [{ model, version, columns: drifted }];
      }),
      letters: waiting,
      changes: changes.items,
    };
  };
}

function partOf(source: HealthSource): PartStatus {
  const { name, kind } = source;
  try {
    const { status, reason } = source.state();
    return { name, kind, status, reason };
  } catch (error) {
    return { name, kind, status: 'down', reason: String(error) };
  }
}
