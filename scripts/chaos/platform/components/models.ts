import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { stableHash32 } from '#kernel/hashes/hash';
import { LocalRegistry } from '#registry/local/local_registry';
import { writeModelFolder } from '#registry/model_folder';
import type { ModelRegistry, ModelVersion } from '#registry/model_registry';
import type { ModelPackage } from '#registry/packages/model_package';
import { RegistrationQueue } from '#registry/registration_queue';
import { mlpToOnnx } from '#registry/trainers/tfjs/onnx_mlp';
import { DamagedFileError } from '#storage/errors';
import { type Component, contentOf, counted, type OpenComponent } from '../component.ts';

const MODEL = 'chaos';

/** A real ONNX model of one column, which the id decides. */
function modelOf(id: string): ModelPackage {
  const bias = (stableHash32(id) % 1_000) / 100;
  const onnx = mlpToOnnx(
    {
      width: 1,
      fill: Float32Array.of(1),
      center: Float32Array.of(0),
      scale: Float32Array.of(1),
      layers: [{ weights: Float32Array.of(0.5), bias: Float32Array.of(bias) }],
    },
    'chaos',
  );
  return {
    onnx,
    signature: {
      inputs: [{ name: 'amount', type: 'double', required: true }],
      task: 'binary_classification',
      classes: ['legitimate', 'fraud'],
      onnx: { input: 'features', output: 'probabilities' },
      featureService: { service: 'chaos@1' },
    },
    examples: [],
  };
}

/** Returns the id of a version, when its description, metrics and model are what the id decides. */
async function idOf(registry: ModelRegistry, version: ModelVersion): Promise<readonly string[]> {
  const { description, metrics } = version;
  const id = description.slice(0, description.indexOf(' '));
  const { onnx, ...rest } = await registry.download(version);
  const { onnx: written, ...expected } = modelOf(id);
  const isWhole =
    description === contentOf(id) &&
    isDeepStrictEqual({ ...metrics }, metricsOf(id)) &&
    isDeepStrictEqual(rest, expected) &&
    Buffer.from(onnx).equals(written);
  return isWhole ? [id] : [];
}

const metricsOf = (id: string): Readonly<Record<string, number>> => ({ auc: (stableHash32(id) % 997) / 997 });

/** The registry in a folder: a version for each id. */
export const REGISTRY: Component = {
  name: 'model registry',
  batch: 1,
  needsMib: 0,
  isExclusive: false,
  async open(folder): Promise<OpenComponent> {
    const registry = new LocalRegistry({ kind: 'local', directory: join(folder, 'models') });
    await registry.listVersions(MODEL);
    return {
      async write(ids) {
        for (const id of ids) {
          const description = contentOf(id);
          await registry.register({
            name: MODEL,
            description,
            package: modelOf(id),
            metrics: metricsOf(id),
            params: {},
          });
        }
      },
      async found() {
        const ids: string[] = [];
        for (const version of await registry.listVersions(MODEL)) ids.push(...(await idOf(registry, version)));
        return counted(ids);
      },
      close: () => registry.close(),
    };
  },
};

/** Models that wait for a registry that is away. */
export const REGISTRATIONS: Component = {
  name: 'waiting registrations',
  batch: 1,
  needsMib: 0,
  isExclusive: false,
  async open(folder): Promise<OpenComponent> {
    const queue = new RegistrationQueue(join(folder, 'registrations'));
    await queue.list();
    return {
      async write(ids) {
        for (const id of ids) {
          const made = join(folder, '.trained', id);
          await writeModelFolder(made, modelOf(id), { card: { metrics: metricsOf(id), params: {} } });
          await queue.add(MODEL, made, contentOf(id));
        }
      },
      async found() {
        const ids: string[] = [];
        const registry = new LocalRegistry({ kind: 'local', directory: join(folder, '.registry') });
        const problems: string[] = [];
        await queue.drain(registry, ({ outcome }) => {
          if ('refused' in outcome) problems.push(outcome.refused);
        });
        if (problems.length > 0) throw new DamagedFileError(folder, 0, problems.join('; '));
        for (const version of await registry.listVersions(MODEL)) ids.push(...(await idOf(registry, version)));
        return counted(ids);
      },
      async close() {},
    };
  },
};
