import type { JsonObject } from '#kernel/json';
import { IncompleteModelError, UnknownModelError } from '../errors.ts';
import type { ModelRegistry, ModelVersion, NewModelVersion, Stage, VersionSelector } from '../model_registry.ts';
import { acceptsModelName, checkAlias, checkFileName, checkModelName, checkTag, checkVersion } from '../names.ts';
import { refuseExternalData, withExternalData } from '../onnx/external_data.ts';
import type { ModelPackage } from '../packages/model_package.ts';
import { ONNX_FILE, PACKAGE_FILE, readPackage } from '../packages/package_files.ts';
import { ALIAS_OF_STAGE } from '../stages.ts';
import { type ArtifactFiles, Artifacts } from './artifacts.ts';
import { isMissing, MlflowApiError, MlflowClient } from './client.ts';
import type { MlflowConfig } from './config.ts';
import { packageOfForeign, readMlmodel } from './foreign_model.ts';
import { withLease } from './lease.ts';
import { modelDirectory } from './model_directory.ts';
import { MlflowRuns, pairsOf } from './runs.ts';

interface WireVersion {
  readonly name: string;
  readonly version: string;
  readonly creation_timestamp: number;
  readonly last_updated_timestamp: number;
  readonly current_stage?: Stage;
  readonly description?: string;
  readonly source: string;
  readonly run_id?: string;
  readonly tags?: readonly { readonly key: string; readonly value: string }[];
  readonly aliases?: readonly string[];
}

interface WireModel {
  readonly name: string;
  readonly last_updated_timestamp?: number;
  readonly latest_versions?: readonly WireVersion[];
  readonly aliases?: readonly WireAlias[];
}

/** Of a search. */
interface WirePage {
  readonly registered_models?: readonly WireModel[];
  readonly model_versions?: readonly WireVersion[];
  readonly next_page_token?: string;
}

const ARTIFACT_PATH = 'model';
const METRIC_TAG = 'headwater.metric.';
const AUDIT_TAG = 'headwater.audit';
const PAGE = '1000';
/** Read for the fingerprints of models, each time they are looked at. */
const MOST_PAGES = 2;
/** Of versions that were changed last, to find the one in a stage. */
const RECENT = '20';

/** MLflow as the registry: promoting a version in its UI is all it takes. */
export class MlflowRegistry implements ModelRegistry {
  readonly kind = 'mlflow';
  /** Of registered models and their versions; runs and artifacts are the tracking server's. */
  readonly #models: MlflowClient;
  readonly #artifacts: Artifacts;
  readonly #runs: MlflowRuns;
  /** The version in a stage of a model, as of the model's last change. */
  readonly #seen = new Map<string, { readonly changedMs: number; readonly version: number | undefined }>();

  /** @param files - reads and writes artifacts that the server does not hand out itself */
  constructor(config: MlflowConfig, files?: ArtifactFiles) {
    const tracking = new MlflowClient(config);
    this.#models = new MlflowClient({ ...config, trackingUri: config.registryUri ?? config.trackingUri });
    this.#artifacts = new Artifacts(tracking, files);
    this.#runs = new MlflowRuns(tracking, config.experimentName);
  }

  async register(model: NewModelVersion): Promise<ModelVersion> {
    checkModelName(model.name);
    for (const name of model.attachments?.keys() ?? []) checkFileName(name);
    for (const key of Object.keys(model.tags ?? {})) checkTag(key);
    refuseExternalData(model.package.onnx);
    const now = Date.now();
    const run = await this.#runs.log({
      name: `${model.name}-${new Date(now).toISOString()}`,
      startedMs: now,
      metrics: model.metrics,
      params: model.params,
      tags: model.tags ?? {},
    });
    const { runId, artifacts } = run;
    const source = `${artifacts}/${ARTIFACT_PATH}`;
    try {
      for (const [file, content] of modelDirectory(model.package, runId, ARTIFACT_PATH)) {
        await this.#artifacts.write(source, file, content);
      }
      for (const [name, content] of model.attachments ?? []) await this.#artifacts.write(artifacts, name, content);
      for (const { number, startedMs, finishedMs, metrics, params } of model.trials ?? []) {
        const trial = await this.#runs.log({
          ...{ name: `trial ${number}`, startedMs, metrics, params, tags: {} },
          parent: run,
        });
        await this.#runs.end(trial.runId, 'FINISHED', finishedMs);
      }
    } catch (error) {
      await this.#runs.end(runId, 'FAILED', Date.now()).catch(() => {});
      throw error;
    }
    await this.#runs.end(runId, 'FINISHED', Date.now());
    await this.#ensureModel(model.name);
    const metricTags = Object.entries(model.metrics).map(([key, value]) => ({
      key: `${METRIC_TAG}${key}`,
      value: String(value),
    }));
    const created = await this.#models.post<{ model_version: WireVersion }>('model-versions/create', {
      name: model.name,
      source,
      run_id: runId,
      description: model.description ?? '',
      tags: [...metricTags, ...pairsOf(model.tags ?? {})],
    });
    return versionOf(created.model_version);
  }

  async #ensureModel(name: string): Promise<void> {
    try {
      await this.#models.post('registered-models/create', { name });
    } catch (error) {
      if (!(error instanceof MlflowApiError && error.mlflowCode === 'RESOURCE_ALREADY_EXISTS')) throw error;
    }
  }

  /** Leaves out models whose names the platform does not accept ({@link checkModelName}). */
  async listModels(): Promise<readonly string[]> {
    const names: string[] = [];
    const pages = this.#pages('registered-models/search', {
      max_results: PAGE,
    });
    for await (const { registered_models: models = [] } of pages) {
      names.push(...models.flatMap(({ name }) => (acceptsModelName(name) ? [name] : [])));
    }
    return names;
  }

  async fingerprints(): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    let pages = 0;
    for await (const { registered_models: models = [] } of this.#pages('registered-models/search', {
      max_results: PAGE,
    })) {
      for (const { name, last_updated_timestamp: changed, latest_versions: latest = [], aliases = [] } of models) {
        const stages = latest.map(({ version, current_stage: stage, last_updated_timestamp: at }) => [
          version,
          stage,
          at,
        ]);
        found.set(name, JSON.stringify([changed, stages, aliases]));
      }
      pages += 1;
      if (pages === MOST_PAGES) break;
    }
    return found;
  }

  async listVersions(name: string): Promise<readonly ModelVersion[]> {
    const aliases = await this.#aliases(name);
    const versions: ModelVersion[] = [];
    for await (const page of this.#searchVersions(name, { max_results: PAGE })) {
      // A request for each version that another client has registered: not all at once.
      for (const wire of page) versions.push(await this.#withMetrics(versionOf(wire, aliases)));
    }
    return versions.sort((a, b) => a.version - b.version);
  }

  async *#searchVersions(
    name: string,
    query: Readonly<Record<string, string>>,
  ): AsyncGenerator<readonly WireVersion[]> {
    // No accepted name has a quote.
    const filtered = { ...query, filter: `name='${checkModelName(name)}'` };
    const pages = this.#pages('model-versions/search', filtered);
    for await (const { model_versions: versions = [] } of pages) yield versions;
  }

  async *#pages(path: string, query: Readonly<Record<string, string>>): AsyncGenerator<WirePage> {
    let page_token = '';
    do {
      const answer = await this.#models.get<WirePage>(path, {
        ...query,
        ...(page_token === '' ? {} : { page_token }),
      });
      yield answer;
      page_token = answer.next_page_token ?? '';
    } while (page_token !== '');
  }

  /** Aliases of a model by version: searches leave them out of versions. */
  async #aliases(name: string): Promise<ReadonlyMap<string, readonly string[]>> {
    checkModelName(name);
    try {
      const { registered_model } = await this.#models.get<{
        readonly registered_model: { readonly aliases?: readonly WireAlias[] };
      }>('registered-models/get', { name });
      return byVersion(registered_model.aliases);
    } catch (error) {
      if (!isMissing(error)) throw error;
      return new Map();
    }
  }

  async resolve(name: string, selector: VersionSelector): Promise<ModelVersion | undefined> {
    checkModelName(name);
    if ('version' in selector) checkVersion(selector.version);
    if ('alias' in selector) checkAlias(selector.alias);
    try {
      if ('stage' in selector) return await this.#newestIn(name, selector.stage);
      const answer =
        'version' in selector
          ? await this.#models.get<{ model_version: WireVersion }>('model-versions/get', {
              name,
              version: String(selector.version),
            })
          : await this.#models.get<{ model_version: WireVersion }>('registered-models/alias', {
              name,
              alias: selector.alias,
            });
      return await this.#withMetrics(versionOf(answer.model_version));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Adds the metrics of a version that another client has registered: they are those of its run. */
  async #withMetrics(version: ModelVersion): Promise<ModelVersion> {
    if (version.runId === '' || Object.keys(version.metrics).length > 0) return version;
    return { ...version, metrics: await this.#runs.metricsOf(version.runId) };
  }

  /**
   * The version that was last moved to a stage: there may be several in it. Small requests, whatever the number of versions, as long as nothing
   * of the model has changed since it was last asked.
   */
  async #newestIn(name: string, stage: Stage): Promise<ModelVersion | undefined> {
    const { registered_model } = await this.#models.get<{
      readonly registered_model: {
        readonly last_updated_timestamp: number;
        readonly latest_versions?: readonly WireVersion[];
      };
    }>('registered-models/get', { name });
    const { latest_versions: latest = [], last_updated_timestamp: changedMs } = registered_model;
    if (!latest.some(({ current_stage: current }) => current === stage)) return undefined;
    let seen = this.#seen.get(`${name} ${stage}`);
    if (seen?.changedMs !== changedMs) {
      seen = { changedMs, version: await this.#lastMovedTo(name, stage) };
      this.#seen.set(`${name} ${stage}`, seen);
    }
    // Its tags may have changed since.
    return seen.version === undefined ? undefined : this.resolve(name, { version: seen.version });
  }

  async #lastMovedTo(name: string, stage: Stage): Promise<number | undefined> {
    const query = { order_by: 'last_updated_timestamp DESC', max_results: RECENT };
    for await (const page of this.#searchVersions(name, query)) {
      const found = page.find(({ current_stage: current }) => current === stage);
      if (found !== undefined) return Number(found.version);
    }
    return undefined;
  }

  async transition(name: string, version: number, stage: Stage, audit: JsonObject = {}): Promise<ModelVersion> {
    checkModelName(name);
    checkVersion(version);
    let moved: WireVersion;
    try {
      const answer = await this.#models.post<{ model_version: WireVersion }>('model-versions/transition-stage', {
        name,
        version: String(version),
        stage,
        archive_existing_versions: stage === 'Production' || stage === 'Staging',
      });
      moved = answer.model_version;
    } catch (error) {
      if (!isMissing(error)) throw error;
      throw new UnknownModelError(`${name} version ${version}`, await this.listModels());
    }
    const told = JSON.stringify({ at: new Date().toISOString(), stage, ...audit });
    await Promise.all([
      ...Object.entries(ALIAS_OF_STAGE).map(([of, alias]) =>
        of === stage ? this.setAlias(name, alias, version) : this.#removeAlias(name, alias, version),
      ),
      this.setTag(name, version, AUDIT_TAG, told),
    ]);
    return this.#withMetrics(versionOf(moved));
  }

  /** Takes an alias from a version, if it has it. */
  async #removeAlias(name: string, alias: string, version: number): Promise<void> {
    if ((await this.resolve(name, { alias }))?.version !== version) return;
    await this.#models.delete('registered-models/alias', { name, alias });
  }

  async setAlias(name: string, alias: string, version: number): Promise<void> {
    await this.#models.post('registered-models/alias', {
      name: checkModelName(name),
      alias: checkAlias(alias),
      version: checkVersion(version),
    });
  }

  async setTag(name: string, version: number, key: string, value: string): Promise<void> {
    await this.#models.post('model-versions/set-tag', {
      ...{ name: checkModelName(name), version: checkVersion(version) },
      ...{ key: checkTag(key), value },
    });
  }

  async exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    return withLease(this.#models, checkModelName(name), work);
  }

  async download(model: ModelVersion): Promise<ModelPackage> {
    const root = await this.#artifactRoot(model);
    const document = await this.#artifacts.read(root, PACKAGE_FILE);
    if (document === undefined) return this.#downloadForeign(model, root);
    const read = readPackage(root, await this.#needed(root, ONNX_FILE), document);
    return { ...read, onnx: await this.#whole(root, ONNX_FILE, read.onnx) };
  }

  /** Downloads what was logged with MLflow's own client. */
  async #downloadForeign({ tags }: ModelVersion, root: string): Promise<ModelPackage> {
    const description = await this.#artifacts.read(root, 'MLmodel');
    if (description === undefined) {
      throw new IncompleteModelError(`there is neither ${PACKAGE_FILE} nor MLmodel at ${root}`);
    }
    const { mlmodel, onnxFile } = readMlmodel(description);
    const onnx = await this.#needed(root, onnxFile);
    const whole = await this.#whole(root, onnxFile, onnx);
    const example = mlmodel.saved_input_example_info?.artifact_path;
    return packageOfForeign(mlmodel, whole, {
      tags,
      example: example === undefined ? undefined : await this.#artifacts.read(root, example),
    });
  }

  /** With the values that lie in files beside it: MLflow 3 puts them there. */
  #whole(root: string, file: string, onnx: Uint8Array): Promise<Uint8Array> {
    const folder = file.includes('/') ? `${file.slice(0, file.lastIndexOf('/'))}/` : '';
    return withExternalData(onnx, (path) => this.#artifacts.read(root, `${folder}${path}`));
  }

  async #needed(root: string, name: string): Promise<Uint8Array> {
    const content = await this.#artifacts.read(root, name);
    if (content === undefined) throw new IncompleteModelError(`there is no ${name} at ${root}`);
    return content;
  }

  /** A version may point to a run's artifacts or to a logged model. */
  async #artifactRoot({ name, version }: ModelVersion): Promise<string> {
    const of = { name: checkModelName(name), version: checkVersion(version) };
    const { artifact_uri: uri } = await this.#models.get<{ artifact_uri: string }>(
      'model-versions/get-download-uri',
      of,
    );
    if (uri !== '') return uri;
    const { model_version } = await this.#models.get<{ model_version: WireVersion }>('model-versions/get', of);
    return model_version.source;
  }

  async attachment({ runId }: ModelVersion, name: string): Promise<Uint8Array | undefined> {
    checkFileName(name);
    if (runId === '') return undefined;
    return this.#artifacts.read(await this.#runs.artifactsOf(runId), name);
  }

  async close(): Promise<void> {}
}

interface WireAlias {
  readonly alias: string;
  readonly version: string;
}

function byVersion(aliases: readonly WireAlias[] = []): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const { alias, version } of aliases) found.set(version, [...(found.get(version) ?? []), alias]);
  return found;
}

function versionOf(wire: WireVersion, aliases?: ReadonlyMap<string, readonly string[]>): ModelVersion {
  const tags = Object.fromEntries((wire.tags ?? []).map(({ key, value }) => [key, value]));
  const metrics = Object.fromEntries(
    Object.entries(tags)
      .filter(([key]) => key.startsWith(METRIC_TAG))
      .map(([key, value]) => [key.slice(METRIC_TAG.length), Number(value)]),
  );
  return {
    name: wire.name,
    version: Number(wire.version),
    stage: wire.current_stage ?? 'None',
    aliases: aliases?.get(wire.version) ?? wire.aliases ?? [],
    createdAtMs: wire.creation_timestamp,
    description: wire.description ?? '',
    tags,
    metrics,
    runId: wire.run_id ?? '',
  };
}
