import { createFileSystems } from '#connectors/files/file_systems';
import { type FeatureService, servicesById } from '#feature_store/definitions/feature_service';
import { UnknownServiceError } from '#feature_store/errors';
import { type LabelOrigin, loadLabels } from '#feature_store/retrieval/labels';
import type { TrainingFormat } from '#feature_store/retrieval/training_format';
import {
  buildTrainingSet,
  readManifest,
  type TrainingRow,
  type TrainingSet,
  type TrainingSetSpec,
  writeTrainingSet,
} from '#feature_store/retrieval/training_set';
import { eventTime } from '#kernel/time';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { withOffline } from '../parts/with_offline.ts';
import { definitionsOf, loadProject, type Project } from '../project/project.ts';
import { timeOption } from '../terminal/options.ts';
import { createProgress } from '../terminal/progress.ts';
import { UsageError } from '../terminal/usage_error.ts';

export interface TrainingSetOptions {
  readonly out: string;
  readonly service?: string;
  readonly labels?: string;
  readonly labelsFile?: string;
  readonly labelsQuery?: string;
  readonly each?: 'row' | 'entity';
  readonly from?: string;
  readonly to?: string;
  readonly splitAt?: readonly string[];
  readonly knownAtLabel: boolean;
  readonly format: TrainingFormat;
  readonly like?: string;
}

/** As far as JavaScript's dates and PostgreSQL both go. */
const ALWAYS = { from: '1970-01-01T00:00:00Z', to: '9999-12-31T00:00:00Z' };

/** `headwater training-sets create`. */
export async function makeTrainingSet(options: TrainingSetOptions): Promise<void> {
  const before = options.like === undefined ? undefined : await readManifest(options.like);
  const project = await loadProject();
  const spec = specOf(project, before === undefined ? options : { ...options, ...likeManifest(before) });
  const task = createProgress().begin(`join labels with ${spec.service.signature.service}`);
  await withOffline(project, async (offline) => {
    const { set } = await collect(offline, spec);
    await writeTrainingSet(options.out, set);
    const { rows, positives, service, files } = set.manifest;
    task.finish(`${rows} rows`);
    const summary = { service: service.service, fingerprint: service.fingerprint, rows, positives, files };
    if (before === undefined) {
      process.stdout.write(`${JSON.stringify(summary)}\n`);
      return;
    }
    const isSame = JSON.stringify(before.files) === JSON.stringify(files);
    process.stdout.write(`${JSON.stringify({ ...summary, same_as_before: isSame })}\n`);
    if (isSame) return;
    process.stderr.write(
      before.service.fingerprint === service.fingerprint
        ? 'history or labels have changed since\n'
        : 'the definitions of its features have changed since\n',
    );
    process.exitCode = 1;
  });
}

/** A row that is not trained on, and why. */
export interface SetAside {
  readonly row: TrainingRow;
  readonly problem: string;
}

/**
 * Joins labels with the features of their time.
 *
 * @param problemOf - what is wrong with a row; rows with a problem are left out of the set
 * @throws {@link TrainingSetError} when there are no labels, or each row has a problem
 */
export const collectTrainingSet = (
  project: Project,
  offline: OfflineDatabase,
  options: Omit<TrainingSetOptions, 'out'>,
  problemOf: (row: TrainingRow) => string | undefined,
): Promise<{ readonly set: TrainingSet; readonly setAside: readonly SetAside[] }> =>
  collect(offline, specOf(project, options), problemOf);

async function collect(
  offline: OfflineDatabase,
  spec: TrainingSetSpec,
  problemOf: (row: TrainingRow) => string | undefined = () => undefined,
): Promise<{ readonly set: TrainingSet; readonly setAside: readonly SetAside[] }> {
  const parts = { offline, fileSystemOf: createFileSystems() };
  const labels = await loadLabels(parts, spec.labels, spec.service, spec.range);
  const set = await buildTrainingSet(offline.features, spec, labels);
  const problems = set.rows.map(problemOf);
  if (problems.every((problem) => problem === undefined)) return { set, setAside: [] };
  const setAside = set.rows.flatMap((row, at) => {
    const problem = problems[at];
    return problem === undefined ? [] : [{ row, problem }];
  });
  const kept = labels.filter((_, at) => problems[at] === undefined);
  return { set: await buildTrainingSet(offline.features, spec, kept), setAside };
}

type Manifest = Awaited<ReturnType<typeof readManifest>>;

/** The options that give a manifest's set. */
function likeManifest({
  service,
  labels,
  from,
  to,
  splitAt,
  knownAtLabel,
  files,
}: Manifest): Partial<TrainingSetOptions> {
  return {
    service: service.service,
    ...('source' in labels
      ? { labels: labels.source }
      : 'file' in labels
        ? { labelsFile: labels.file }
        : 'query' in labels
          ? { labelsQuery: labels.query }
          : { each: labels.each }),
    ...{ from, to, splitAt, knownAtLabel },
    format: files[0]?.name.endsWith('.parquet') === true ? 'parquet' : 'csv',
  };
}

function specOf(project: Project, options: Omit<TrainingSetOptions, 'out'>): TrainingSetSpec {
  const { service, splitAt = [], knownAtLabel, format } = options;
  if (service === undefined) throw new UsageError('say --service, or --like with the folder of an earlier set');
  return {
    service: serviceOf(project, service),
    labels: originOf(options),
    range: {
      from: eventTime(timeOption('--from', options.from ?? ALWAYS.from) as number),
      to: eventTime(timeOption('--to', options.to ?? ALWAYS.to) as number),
    },
    knownAtLabel,
    format,
    splitAt: splitAt.map((text) => eventTime(timeOption('--split-at', text) as number)).sort((a, b) => a - b),
  };
}

/** Where options say that labels are: all that they name. */
export const labelOrigins = ({
  labels,
  labelsFile,
  labelsQuery,
}: Pick<TrainingSetOptions, 'labels' | 'labelsFile' | 'labelsQuery'>): readonly LabelOrigin[] => [
  ...(labels === undefined ? [] : [{ source: labels }]),
  ...(labelsFile === undefined ? [] : [{ file: labelsFile }]),
  ...(labelsQuery === undefined ? [] : [{ query: labelsQuery }]),
];

function originOf(options: Omit<TrainingSetOptions, 'out'>): LabelOrigin {
  const { each } = options;
  const [origin, ...others] = [...labelOrigins(options), ...(each === undefined ? [] : [{ each }])];
  if (origin === undefined || others.length > 0) {
    throw new UsageError(
      'say where the labels are: one of --labels, --labels-file, --labels-query; or --each row, --each entity',
    );
  }
  return origin;
}

function serviceOf(project: Project, id: string): FeatureService {
  const services = servicesById(definitionsOf(project));
  const found = services.get(id);
  if (found === undefined) throw new UnknownServiceError(id, [...services.keys()]);
  return found;
}
