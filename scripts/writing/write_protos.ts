import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, delimiter, join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { ensureDebianPackages, ensureMaven, run } from '../services/install.ts';

// npm run protos: Beam's messages and services in TypeScript, from the .proto files in the jars of a Beam release (beam_model_pom.xml pins it).

const BUF = '@bufbuild/buf@1.75.0';
const OPTIONS = ['ts_nocheck', 'generate_dependencies', 'server_grpc1', 'client_grpc1'];
const TO = 'pipelines/proto';
/** Expansion of transforms of other languages: not used. */
const NOT_USED = /^beam_expansion_api/;

const work = await mkdtemp(join(tmpdir(), 'beam-protos-'));
try {
  await ensureMaven();
  await ensureDebianPackages(['unzip'], ['/usr/bin/unzip']);
  const jars = join(work, 'jars');
  const pom = assetPath('scripts/services/beam_model_pom.xml');
  const copied = ['-DincludeGroupIds=org.apache.beam', `-DoutputDirectory=${jars}`];
  await run('mvn', ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', ...copied]);
  for (const jar of await readdir(jars)) {
    if (jar.startsWith('beam-model-'))
      await run('unzip', ['-qo', join(jars, jar), '*.proto', '-d', join(work, 'protos')]);
  }
  await writeFile(join(work, 'buf.yaml'), JSON.stringify({ version: 'v2', modules: [{ path: 'protos' }] }));
  const plugin = { local: 'protoc-gen-ts', out: 'generated', opt: OPTIONS };
  await writeFile(join(work, 'buf.gen.yaml'), JSON.stringify({ version: 'v2', plugins: [plugin] }));
  const path = [assetPath('node_modules/.bin'), process.env.PATH].join(delimiter);
  await run('npm', ['exec', '--yes', `--package=${BUF}`, '--', 'buf', 'generate'], { cwd: work, env: { PATH: path } });
  const generated = await readdir(join(work, 'generated'), { recursive: true });
  await rm(assetPath(TO), { recursive: true, force: true });
  await mkdir(assetPath(TO), { recursive: true });
  for (const file of generated.filter((name) => name.endsWith('.ts') && !NOT_USED.test(basename(name)))) {
    const source = await readFile(join(work, 'generated', file), 'utf8');
    await writeFile(assetPath(`${TO}/${basename(file)}`), inOneFolder(source));
    process.stdout.write(`${TO}/${basename(file)}\n`);
  }
} finally {
  await rm(work, { recursive: true });
}

/** File names are unique: all lie in one folder, and are imported with their extension. */
function inOneFolder(source: string): string {
  return source.replace(/from "\.{1,2}\/([^"]*)"/g, (_, path: string) => `from "./${basename(path)}.ts"`);
}
