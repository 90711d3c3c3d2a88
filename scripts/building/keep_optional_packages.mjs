import { readFileSync, writeFileSync } from 'node:fs';

// For an image: optional packages that `npm prune --omit=dev` keeps. Makes dependencies of them in package.json, with the versions that this
// workspace tests. Arguments: names, `all`, or `roles`, which is what no argument means too: all but what is only trained, bundled or compared with.

const NOT_OF_ROLES = ['@tensorflow/tfjs', 'apache-beam', 'esbuild', 'onnxruntime-web'];

const file = new URL('../../package.json', import.meta.url);
const json = JSON.parse(readFileSync(file, 'utf8'));
const names = process.argv
  .slice(2)
  .flatMap((argument) => argument.split(/[\s,]+/))
  .filter((name) => name !== '');
const optional = Object.keys(json.peerDependencies);
const unknown = names.filter((name) => !['all', 'roles', ...optional].includes(name));
if (unknown.length > 0) {
  process.stderr.write(`${unknown.join(', ')}: no optional package; they are ${optional.join(', ')}\n`);
  process.exit(2);
}
const kept = names.includes('all')
  ? optional
  : optional.filter(
      (name) =>
        names.includes(name) || ((names.length === 0 || names.includes('roles')) && !NOT_OF_ROLES.includes(name)),
    );
for (const name of kept) {
  json.dependencies[name] = json.devDependencies[name];
  delete json.devDependencies[name];
}
writeFileSync(file, `${JSON.stringify(json, null, 2)}\n`);
