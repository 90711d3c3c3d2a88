import { appendFile, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { derivedId } from '#kernel/hashes/derived_id';
import type { RunDataset } from '#kernel/workflow_runs';

/** A run with the data sets and models that its tasks have named. */
export interface LineageOfRun {
  readonly run: string;
  readonly job: string;
  /** RFC 3339. */
  readonly startedAt: string;
  /** Null while it runs. */
  readonly endedAt: string | null;
  /** Status of the run. */
  readonly outcome: string;
  readonly datasets: readonly RunDataset[];
}

const PRODUCER = 'https://www.npmjs.com/package/headwater';
const SPEC = 'https://openlineage.io/spec';
const RUN_EVENT = `${SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent`;

/** Returns a facet with where its schema is. */
const facet = (name: string, version: string, fields: Readonly<Record<string, unknown>>) => ({
  ...{ _producer: PRODUCER, _schemaURL: `${SPEC}/facets/${version}/${name}.json#/$defs/${name}` },
  ...fields,
});

/** Returns the id of a run as OpenLineage requires it: a UUID, the same each time. */
export function lineageRunId(run: string): string {
  const hash = derivedId(['run', run]);
  const variant = ((Number.parseInt(hash[16] as string, 16) & 0x3) | 0x8).toString(16);
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-5${hash.slice(13, 16)}-${variant}${hash.slice(17, 20)}-${hash.slice(20)}`;
}

/** How OpenLineage calls the end of a run. */
const END_OF: Readonly<Record<string, string>> = {
  succeeded: 'COMPLETE',
  failed: 'FAIL',
  timed_out: 'FAIL',
  cancelled: 'ABORT',
};

/** Returns a run as OpenLineage events: its start, and its end where it has ended, with what it read and made. */
export function lineageEvents(lineage: LineageOfRun, namespace: string): readonly object[] {
  const { run, job, startedAt, endedAt, outcome, datasets } = lineage;
  const named = (wanted: 'input' | 'output'): readonly object[] =>
    datasets
      .filter(({ direction }) => direction === wanted)
      .map(({ name, version }) => ({
        ...{ namespace, name },
        ...(version === ''
          ? {}
          : { facets: { version: facet('DatasetVersionDatasetFacet', '1-0-1', { datasetVersion: version }) } }),
      }));
  const event = (eventType: string, eventTime: string) => ({
    ...{ eventType, eventTime, producer: PRODUCER, schemaURL: RUN_EVENT },
    run: {
      runId: lineageRunId(run),
      facets: {
        headwater_run: {
          ...{ _producer: PRODUCER, _schemaURL: `${SPEC}/2-0-2/OpenLineage.json#/$defs/RunFacet` },
          ...{ run, outcome },
        },
      },
    },
    job: {
      ...{ namespace, name: job },
      facets: {
        jobType: facet('JobTypeJobFacet', '2-0-3', {
          processingType: 'BATCH',
          integration: 'HEADWATER',
          jobType: 'WORKFLOW',
        }),
      },
    },
    inputs: named('input'),
    outputs: named('output'),
  });
  const start = { ...event('START', startedAt), outputs: [] };
  return endedAt === null ? [start] : [start, event(END_OF[outcome] ?? 'OTHER', endedAt)];
}

export interface LineageTargets {
  /** Lines of JSON are appended to it. */
  readonly file?: string | undefined;
  /** Address that takes events by POST, such as http://marquez:5000/api/v1/lineage. */
  readonly url?: string | undefined;
}

const LONGEST_MS = 10_000;

/** Sends events to each target. @throws with the status where the address refuses one */
export async function sendLineage(events: readonly object[], { file, url }: LineageTargets): Promise<void> {
  if (file !== undefined) {
    await mkdir(dirname(file), { recursive: true });
    await appendFile(file, events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  }
  if (url === undefined) return;
  for (const event of events) {
    const answer = await fetch(url, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(event) },
      signal: AbortSignal.timeout(LONGEST_MS),
    });
    if (!answer.ok) throw new Error(`workflows.lineage.url answers ${answer.status}`);
  }
}
