import { readFile } from 'node:fs/promises';
import { readTrainingSet } from '#feature_store/retrieval/training_set';
import { messageOf } from '#kernel/errors';
import { createRegistry } from '#registry/catalog';
import { copyOf } from '#registry/copy_version';
import { evaluateModel } from '#registry/evaluation/evaluate_model';
import { mlflowConfigSchema } from '#registry/mlflow/config';
import { readModelFolder, writeModelFolder } from '#registry/model_folder';
import type { NewModelVersion } from '#registry/model_registry';
import { judgedAs } from '#registry/trainers/training_config';
import { readBooster } from '#registry/xgboost/booster';
import { type BoosterNames, packageOfBooster } from '#registry/xgboost/booster_package';
import { examineModel } from '#serving/models/loaded_model';
import { tableOf } from '../history/training_table.ts';
import { artifactFiles } from '../parts/open_registry.ts';
import { registrationQueue } from '../parts/registrations.ts';
import { loadSettings } from '../project/project.ts';
import { print } from '../terminal/print.ts';
import { UsageError } from '../terminal/usage_error.ts';
import { describeMetrics, writeReport } from './evaluation_report.ts';
import { summaryOf, versionOf, withRegistry } from './models.ts';

// Models from and to files, and other registries.

async function register(model: NewModelVersion): Promise<void> {
  // What cannot be served is not worth a version.
  await examineModel(model.package);
  await withRegistry(async (registry) => print(summaryOf(await registry.register(model))));
}

/** What a trainer or `export` has written, as a new version. */
export const registerFolder = async (name: string, folder: string, description: string): Promise<void> =>
  register({ name, description, ...(await readModelFolder(folder)) });

interface RegisterOptions {
  readonly description: string;
  readonly pending: boolean;
}

/** `headwater models register NAME FOLDER`, or `--pending`: what was trained while the registry was away. */
export async function registerModel(
  name: string | undefined,
  folder: string | undefined,
  { description, pending }: RegisterOptions,
): Promise<void> {
  if (pending) return registerPending();
  if (name === undefined || folder === undefined) throw new UsageError('say which model, and its folder; or --pending');
  await registerFolder(name, folder, description);
}

const registerPending = (): Promise<void> =>
  withRegistry(async (registry, config) => {
    const queue = registrationQueue(config);
    if ((await queue.list()).length === 0) print('nothing waits to be registered');
    await queue.drain(registry, ({ pending, outcome }) => {
      if ('version' in outcome) print(`${summaryOf(outcome.version)}, trained ${pending.since}`);
      else {
        process.stderr.write(`${pending.name} is refused and stays in ${outcome.folder}: ${outcome.refused}\n`);
        process.exitCode = 1;
      }
    });
  });

/** Another registry: an MLflow server, with the credentials and time limits of this one's configuration where that is MLflow too. */
function registryAt(trackingUri: string) {
  const { registry } = loadSettings();
  const usual = registry.kind === 'mlflow' ? registry : {};
  const parsed = mlflowConfigSchema.safeParse({ ...usual, kind: 'mlflow', trackingUri });
  if (!parsed.success) throw new UsageError(`${trackingUri} is no address of an MLflow server: http(s)://host:port`);
  return createRegistry(parsed.data, artifactFiles());
}

/** `headwater models export NAME VERSION --out FOLDER`, or `--to` another MLflow server. */
export const exportModel = (
  name: string,
  version: number,
  { out, to }: { readonly out?: string; readonly to?: string },
): Promise<void> =>
  withRegistry(async (registry) => {
    if ((out === undefined) === (to === undefined))
      throw new UsageError('say where to: --out a folder, or --to an MLflow server');
    const found = await versionOf(registry, name, version);
    const copy = await copyOf(registry, found);
    if (out !== undefined) {
      const { package: model, metrics, params, tags, attachments } = copy;
      await writeModelFolder(out, model, {
        card: { metrics, params, ...(tags === undefined ? {} : { tags }) },
        ...(attachments === undefined ? {} : { attachments }),
      });
      print(`${summaryOf(found)} is in ${out}`);
      return;
    }
    const other = registryAt(to as string);
    print(`${summaryOf(await other.register(copy))} is at ${to}`);
    await other.close();
  });

interface ImportOptions extends BoosterNames {
  readonly from?: string;
  readonly file?: string;
  readonly rounds?: number;
}

/** `headwater models import NAME VERSION --from` another MLflow server, or `NAME --file` that XGBoost has saved. */
export async function importModel(
  name: string,
  version: number | undefined,
  { from, file, rounds, ...names }: ImportOptions,
): Promise<void> {
  if (file !== undefined && from === undefined && version === undefined)
    return importBooster(name, file, names, rounds);
  if (file !== undefined || from === undefined || version === undefined) {
    throw new UsageError('say what: a version and --from an MLflow server, or --file alone');
  }
  const other = registryAt(from);
  try {
    await register(await copyOf(other, await versionOf(other, name, version)));
  } finally {
    await other.close();
  }
}

async function importBooster(name: string, file: string, names: BoosterNames, rounds?: number): Promise<void> {
  const bytes = await readFile(file).catch((error: unknown): never => {
    throw new UsageError(`${file} cannot be read: ${messageOf(error)}`);
  });
  const booster = readBooster(bytes, rounds);
  const params = {
    ...{ library: `xgboost ${booster.version}`, objective: booster.objectiveName },
    ...(booster.linear === undefined ? { rounds: String(booster.rounds) } : {}),
  };
  await register({ name, package: packageOfBooster(booster, names), metrics: {}, params });
}

interface EvaluateOptions {
  readonly trainingSet: string;
  readonly all: boolean;
  readonly report?: string;
  readonly json: boolean;
}

/** `headwater models evaluate NAME VERSION --training-set FOLDER`: any version on any set of its columns. */
export const evaluateVersion = (name: string, version: number, options: EvaluateOptions): Promise<void> =>
  withRegistry(async (registry, config) => {
    const found = await versionOf(registry, name, version);
    const model = await registry.download(found);
    const set = await readTrainingSet(options.trainingSet);
    const training = config.training[name];
    const evaluation = await evaluateModel(model, tableOf(set), {
      ...(training === undefined ? {} : judgedAs(training)),
      ...(options.all ? { from: 0 } : {}),
    });
    const { rows, refusedRows, metrics, slices } = evaluation;
    if (options.json) print(JSON.stringify({ model: name, version, rows, refused_rows: refusedRows, metrics, slices }));
    else print(`${name} ${version} on ${rows} rows: ${describeMetrics(metrics)}`);
    if (options.report !== undefined) {
      const params = found.tags;
      const judgedOn = `of ${set.manifest.service.service}`;
      await writeReport(options.report, `${name} ${version}`, { package: model, params }, evaluation, judgedOn);
    }
  });
