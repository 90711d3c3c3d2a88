import { environment } from '#configs/environment';
import { servicesById } from '#feature_store/definitions/feature_service';
import { messageOf } from '#kernel/errors';
import type { GateResult } from '#registry/lifecycle/gates';
import { type AuditEntry, Lifecycle } from '#registry/lifecycle/lifecycle';
import type { ModelRegistry, ModelVersion } from '#registry/model_registry';
import { serviceProblems } from '#serving/models/feature_check';
import { examineModel } from '#serving/models/loaded_model';
import { keepInStore } from '../object_store/object_store.ts';
import { RunningPlatform } from '../parts/control_client.ts';
import { openSigningAnchors } from '../parts/open_anchors.ts';
import { openRegistry } from '../parts/open_registry.ts';
import { withOffline } from '../parts/with_offline.ts';
import { definitionsOf, loadProject, type Project } from '../project/project.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print, printList } from '../terminal/print.ts';

export async function withRegistry<T>(work: (registry: ModelRegistry, config: Project) => Promise<T>): Promise<T> {
  const config = await loadProject();
  const registry = openRegistry(config);
  try {
    return await work(registry, config);
  } finally {
    await registry.close();
  }
}

export const withLifecycle = <T>(
  work: (lifecycle: Lifecycle, registry: ModelRegistry, config: Project) => Promise<T>,
): Promise<T> =>
  withRegistry((registry, config) => {
    const services = servicesById(definitionsOf(config));
    const features = { find: (id: string) => services.get(id) };
    const deps = {
      registry,
      examine: (model: Parameters<typeof examineModel>[0]) => examineModel(model, config.serving.modelLimits),
      checkSignature: (signature: Parameters<typeof serviceProblems>[1]) => serviceProblems(features, signature),
      record: recorderOf(config, registry),
    };
    return work(new Lifecycle(deps, config.promotion), registry, config);
  });

/** The registry has its own trail; the one beside it must not hold up what has happened already. PGlite belongs to one process at a time: the platform's, where one runs. */
function recorderOf(config: Project, registry: ModelRegistry) {
  return async (entry: AuditEntry): Promise<void> => {
    await keepInStore(config, (store) => store.syncVersions(registry, entry.model, entry));
    if (config.offlineStore.kind === 'pglite' && (await RunningPlatform.find(config, 'offline')) === undefined) return;
    try {
      await withOffline(config, async (offline) => {
        await offline.modelAudit.write(entry);
        await openSigningAnchors(offline, config)?.anchor();
      });
    } catch (error) {
      process.stderr.write(`done, but not in the audit table or not anchored: ${messageOf(error)}\n`);
    }
  };
}

const authorOf = (by: string | undefined): string => by ?? environment().USER ?? 'unknown';

/** `--json` shows all. */
const METRICS_SHOWN = 4;

export const summaryOf = ({ name, version, stage, aliases, metrics }: ModelVersion): string =>
  [
    `${name} ${version} ${stage}`,
    ...aliases.map((alias) => `@${alias}`),
    ...Object.entries(metrics)
      .slice(0, METRICS_SHOWN)
      .map(([key, value]) => `${key}=${value.toFixed(4)}`),
  ].join(' ');

/** `headwater models list`. */
export const listModels = ({ json }: { readonly json: boolean }): Promise<void> =>
  withRegistry(async (registry) => {
    const versions: ModelVersion[] = [];
    for (const name of await registry.listModels()) versions.push(...(await registry.listVersions(name)));
    printList(versions, { json, line: summaryOf, empty: 'no models: headwater models train MODEL --register' });
  });

export async function versionOf(
  registry: ModelRegistry,
  name: string,
  version: number | undefined,
): Promise<ModelVersion> {
  const selector = version === undefined ? ({ stage: 'Production' } as const) : { version };
  const found = await registry.resolve(name, selector);
  if (found === undefined) {
    throw new CommandFailedError(`there is no ${name} ${version ?? 'in production'}: headwater models list`);
  }
  return found;
}

/** `headwater models show NAME [VERSION]`: the one in production by default. */
export const showModel = (name: string, version: number | undefined): Promise<void> =>
  withRegistry(async (registry) => {
    const found = await versionOf(registry, name, version);
    const { signature, onnx, examples } = await registry.download(found);
    print(JSON.stringify({ ...found, signature, onnx_bytes: onnx.length, examples: examples.length }, null, 2));
  });

/** `headwater models diff NAME FROM TO`: metrics, columns, parameters. */
export const diffModels = (name: string, from: number, to: number): Promise<void> =>
  withRegistry(async (registry) => {
    const [before, after] = [await versionOf(registry, name, from), await versionOf(registry, name, to)];
    const [was, is] = [await registry.download(before), await registry.download(after)];
    const differences = (a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>, what: string) => {
      for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
        const [x, y] = [a[key], b[key]].map((value) => JSON.stringify(value) ?? 'none');
        if (x !== y) print(`${what} ${key}: ${x} → ${y}`);
      }
    };
    differences(before.metrics, after.metrics, 'metric');
    differences(before.tags, after.tags, 'tag');
    const columns = ({ signature }: typeof was) =>
      Object.fromEntries(signature.inputs.map(({ name: column, ...rest }) => [column, rest]));
    differences(columns(was), columns(is), 'column');
    const { inputs: _, ...wasRest } = was.signature;
    const { inputs: __, ...isRest } = is.signature;
    differences({ ...wasRest, onnx_bytes: was.onnx.length }, { ...isRest, onnx_bytes: is.onnx.length }, 'model');
  });

const printGates = (gates: readonly GateResult[]): void => {
  for (const { gate, passed, detail } of gates) print(`${passed ? 'passed' : 'FAILED'} ${gate.padEnd(13)} ${detail}`);
};

/** `headwater models validate NAME VERSION`: the gates, without promoting. */
export const validateModel = (name: string, version: number): Promise<void> =>
  withLifecycle(async (lifecycle) => {
    const gates = await lifecycle.validate(name, version);
    printGates(gates);
    if (gates.some(({ passed }) => !passed)) process.exitCode = 1;
  });

export interface PromoteOptions {
  readonly stage: 'Staging' | 'Production';
  readonly reason: string;
  readonly by?: string;
  readonly approvedBy?: string;
  readonly force: boolean;
}

/** `headwater models promote NAME VERSION`. */
export const promoteModel = (name: string, version: number, { by, ...options }: PromoteOptions): Promise<void> =>
  withLifecycle(async (lifecycle) => {
    const promoted = await lifecycle.promote(name, version, { ...options, by: authorOf(by) });
    print(`${promoted.name} ${promoted.version} is in ${promoted.stage}`);
  });

interface Author {
  readonly reason: string;
  readonly by?: string;
}

/** `headwater models rollback NAME`. */
export const rollbackModel = (name: string, { reason, by }: Author): Promise<void> =>
  withLifecycle(async (lifecycle) => {
    const back = await lifecycle.rollback(name, { reason, by: authorOf(by) });
    print(`${back.name} ${back.version} is in ${back.stage} again`);
  });

/** `headwater models archive NAME VERSION`. */
export const archiveModel = (name: string, version: number, { reason, by }: Author): Promise<void> =>
  withLifecycle(async (lifecycle) => {
    const archived = await lifecycle.archive(name, version, { reason, by: authorOf(by) });
    print(`${archived.name} ${archived.version} is in ${archived.stage}`);
  });
