import { existsSync } from 'node:fs';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { importOptional } from '#kernel/optional_package';
import { assetPath } from '#kernel/project_root';
import { writeModelFolder } from '#registry/model_folder';
import { examineModel } from '#serving/models/loaded_model';
import { print } from '../terminal/print.ts';
import { UsageError } from '../terminal/usage_error.ts';
import { versionOf, withRegistry } from './models.ts';

export interface BundleOptions {
  readonly out?: string;
  readonly modelVersion?: number;
  readonly platforms: readonly string[];
}

const require = createRequire(import.meta.url);
/** What code that was CommonJS looks for in a module. */
const BANNER =
  "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);";

/**
 * `headwater models bundle NAME --out FOLDER`: a folder that predicts wherever there is Node, with nothing installed and no network: the model,
 * the code that reads rows as serving does, and onnxruntime.
 */
export const bundleModel = (name: string, { out, modelVersion, platforms }: BundleOptions): Promise<void> =>
  withRegistry(async (registry, config) => {
    const { build } = await importOptional(
      { packages: ['esbuild'], use: 'headwater models bundle' },
      () => import('esbuild'),
    );
    const found = await versionOf(registry, name, modelVersion);
    const model = await registry.download(found);
    // Where it runs then, nothing examines it.
    await examineModel(model, config.serving.modelLimits);
    const folder = resolve(out ?? `${name}-edge`);
    const runtime = onnxruntimeOf(platforms);
    await rm(join(folder, 'node_modules'), { recursive: true, force: true });
    await writeModelFolder(join(folder, 'model'), model, { card: { metrics: found.metrics, params: {} } });
    await build({
      entryPoints: [assetPath('dist/serving/edge/main.js')],
      outfile: join(folder, 'predict.mjs'),
      ...{ bundle: true, platform: 'node', format: 'esm', target: 'node20', external: ['onnxruntime-node'] },
      ...{ banner: { js: BANNER }, legalComments: 'eof', logLevel: 'error' },
    });
    for (const path of runtime) {
      await mkdir(dirname(join(folder, 'node_modules', path.to)), { recursive: true });
      await cp(path.from, join(folder, 'node_modules', path.to), { recursive: true });
    }
    const title = `${found.name} ${found.version}`;
    await writeFile(join(folder, 'package.json'), `${JSON.stringify(packageOf(found.name, found.version), null, 2)}\n`);
    await writeFile(join(folder, 'README.md'), readmeOf(title, model.examples[0]?.features ?? {}, platforms));
    print(`${title} is in ${folder}, for ${platforms.join(', ')}: node ${join(folder, 'predict.mjs')} '{…}'`);
  });

interface Copy {
  readonly from: string;
  readonly to: string;
}

/** The files of onnxruntime that are needed to run. @throws {@link UsageError} for a platform that it is not built for */
function onnxruntimeOf(platforms: readonly string[]): readonly Copy[] {
  const node = dirname(dirname(require.resolve('onnxruntime-node')));
  const common = dirname(dirname(dirname(createRequire(join(node, 'package.json')).resolve('onnxruntime-common'))));
  const binaries = platforms.map((platform) => `bin/napi-v6/${platform}`);
  for (const [index, path] of binaries.entries()) {
    if (!existsSync(join(node, path))) {
      throw new UsageError(`there is no onnxruntime for ${platforms[index]}: linux/x64, linux/arm64, darwin/arm64, …`);
    }
  }
  return [
    ...['package.json', 'dist', ...binaries].map((path) => ({
      from: join(node, path),
      to: `onnxruntime-node/${path}`,
    })),
    ...['package.json', 'dist/cjs'].map((path) => ({ from: join(common, path), to: `onnxruntime-common/${path}` })),
  ];
}

const packageOf = (name: string, version: number) => ({
  name: name.replaceAll('_', '-'),
  version: `${version}.0.0`,
  type: 'module',
  main: 'predict.mjs',
  private: true,
  engines: { node: '>=20.19' },
});

const readmeOf = (title: string, example: object, platforms: readonly string[]): string => `# ${title}

Predicts without a network, on ${platforms.join(', ')}, with Node 20.19 or newer:

\`\`\`bash
node predict.mjs '${JSON.stringify(example)}'
node predict.mjs < rows.jsonl
\`\`\`

\`\`\`js
import { openModel } from './predict.mjs';
const model = await openModel();
const [{ prediction }] = await model.predict([${JSON.stringify(example)}]);
\`\`\`
`;
