import { appendFile, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { derivedId } from '#kernel/derived_id';

/** A data set or model, as lineage names it. */
export interface LineageDataset {
  readonly namespace: string;
  readonly name: string;
  readonly facets?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

export interface LineageOfRun {
  readonly run: string;
  readonly job: string;
  readonly namespace: string;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly outcome: string;
  /** The commit that the code is of; undefined where it is not known. */
  readonly code: string | undefined;
  readonly inputs: readonly LineageDataset[];
  readonly outputs: readonly LineageDataset[];
}

const PRODUCER = 'https://www.npmjs.com/package/headwater';
const SPEC = 'https://openlineage.io/spec';
const RUN_EVENT = `${SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent`;

/** Returns a facet with where its schema is. */
const facet = (name: string, version: string, fields: Readonly<Record<string, unknown>>) => ({
  ...{ _producer: PRODUCER, _schemaURL: `${SPEC}/facets/${version}/${name}.json#/$defs/${name}` },
  ...fields,
});

/** Returns the SHA-256 of a data set as its version. */
export const versionFacet = (datasetVersion: string) => ({
  version: facet('DatasetVersionDatasetFacet', '1-0-1', { datasetVersion }),
});

/** Returns the id of a run as OpenLineage requires it: a UUID, the same each time. */
export function lineageRunId(run: string): string {
  const hash = derivedId(['run', run]);
  const variant = ((Number.parseInt(hash[16] as string, 16) & 0x3) | 0x8).toString(16);
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-5${hash.slice(13, 16)}-${variant}${hash.slice(17, 20)}-${hash.slice(20)}`;
}

/** Returns a run as OpenLineage events: its start and its end, with what it read and made. */
export function lineageEvents(lineage: LineageOfRun): readonly object[] {
  const { run, job, namespace, startedAt, endedAt, outcome, code, inputs, outputs } = lineage;
  const event = (eventType: 'START' | 'COMPLETE', eventTime: string) => ({
    ...{ eventType, eventTime, producer: PRODUCER, schemaURL: RUN_EVENT },
    run: {
      runId: lineageRunId(run),
      facets: {
        headwater_run: {
          ...{ _producer: PRODUCER, _schemaURL: `${SPEC}/2-0-2/OpenLineage.json#/$defs/RunFacet` },
          ...{ run, outcome, ...(code === undefined ? {} : { code }) },
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
    inputs,
    outputs,
  });
  return [{ ...event('START', startedAt), outputs: [] }, event('COMPLETE', endedAt)];
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
