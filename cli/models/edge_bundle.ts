import { existsSync } from 'node:fs';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { importOptional, requireInstalled } from '#kernel/optional_package';
import { assetPath } from '#kernel/project_root';
import { writeModelFolder } from '#registry/model_folder';
import { examineModel } from '#serving/models/loaded_model';
import type { BUNDLE_RUNTIMES } from '../terminal/choices.ts';
import { print } from '../terminal/print.ts';
import { UsageError } from '../terminal/usage_error.ts';
import { versionOf, withRegistry } from './models.ts';

export interface BundleOptions {
  readonly out?: string;
  readonly for: (typeof BUNDLE_RUNTIMES)[number];
  readonly modelVersion?: number;
  readonly platforms: readonly string[];
}

const require = createRequire(import.meta.url);
/** What code that was CommonJS looks for in a module. */
const BANNER =
  "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);";

/**
 * `headwater models bundle NAME --out FOLDER`: a folder that predicts wherever there is Node, or with `--for web` in pages and workers, with nothing installed and no network: the model,
 * the code that reads rows as serving does, and onnxruntime.
 */
export const bundleModel = (
  name: string,
  { out, modelVersion, platforms, for: target }: BundleOptions,
): Promise<void> =>
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
    const runtime = target === 'web' ? webRuntime() : onnxruntimeOf(platforms);
    for (const before of ['node_modules', WEB_RUNTIME])
      await rm(join(folder, before), { recursive: true, force: true });
    await writeModelFolder(join(folder, 'model'), model, { card: { metrics: found.metrics, params: {} } });
    const common = { bundle: true, format: 'esm', outfile: join(folder, 'predict.mjs'), logLevel: 'error' } as const;
    await build(
      target === 'web'
        ? {
            ...{ ...common, entryPoints: [assetPath('dist/serving/edge/web.js')], platform: 'browser' },
            ...{ target: 'es2022', minify: true, legalComments: 'eof' },
          }
        : {
            ...{ ...common, entryPoints: [assetPath('dist/serving/edge/main.js')], platform: 'node', target: 'node20' },
            ...{ external: ['onnxruntime-node'], banner: { js: BANNER }, legalComments: 'eof' },
          },
    );
    for (const { from, to } of runtime) {
      await mkdir(dirname(join(folder, to)), { recursive: true });
      await cp(from, join(folder, to), { recursive: true });
    }
    const title = `${found.name} ${found.version}`;
    const example = model.examples[0]?.features ?? {};
    await writeFile(join(folder, 'package.json'), `${JSON.stringify(packageOf(found.name, found.version), null, 2)}\n`);
    const readme = target === 'web' ? webReadmeOf(title, example) : readmeOf(title, example, platforms);
    await writeFile(join(folder, 'README.md'), readme);
    const where = target === 'web' ? 'pages and workers: import' : `${platforms.join(', ')}: node`;
    print(`${title} is in ${folder}, for ${where} ${join(folder, 'predict.mjs')}${target === 'web' ? '' : " '{…}'"}`);
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
      to: `node_modules/onnxruntime-node/${path}`,
    })),
    ...['package.json', 'dist/cjs'].map((path) => ({
      from: join(common, path),
      to: `node_modules/onnxruntime-common/${path}`,
    })),
  ];
}

/** Folder of onnxruntime-web in a bundle. */
const WEB_RUNTIME = 'onnxruntime';

/** Returns the files of onnxruntime-web that a page needs. @throws {@link PackageMissingError} */
function webRuntime(): readonly Copy[] {
  requireInstalled({ packages: ['onnxruntime-web'], use: 'headwater models bundle --for web' });
  const dist = dirname(require.resolve('onnxruntime-web'));
  return ['ort.wasm.bundle.min.mjs', 'ort-wasm-simd-threaded.wasm'].map((file) => ({
    ...{ from: join(dist, file), to: `${WEB_RUNTIME}/${file}` },
  }));
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

const webReadmeOf = (title: string, example: object): string => `# ${title}

Predicts without a network in pages and in workers: copy this folder to where they are served from.

\`\`\`js
import { openModel } from './predict.mjs';
const model = await openModel();
const [{ prediction }] = await model.predict([${JSON.stringify(example)}]);
\`\`\`

A runtime that loads no files (an edge function) brings the bytes and its own onnxruntime: \`PortableModel.open({ onnx, document }, runtime)\`, with \`model/model.onnx\`, \`model/headwater.json\` and the module in \`onnxruntime\`.
`;
