import { globSync, readdirSync, rmSync } from 'node:fs';

// For an image: deletes what no role reads from installed packages, source maps, declarations of types, and binaries for other platforms. Argument: the folder node_modules.

const [folder = 'node_modules'] = process.argv.slice(2);
for (const path of globSync('**/*.{map,d.ts,d.mts,d.cts}', { cwd: folder }))
  rmSync(`${folder}/${path}`, { recursive: true });
const binaries = `${folder}/onnxruntime-node/bin`;
for (const version of readdirSync(binaries)) {
  for (const platform of readdirSync(`${binaries}/${version}`)) {
    for (const architecture of readdirSync(`${binaries}/${version}/${platform}`)) {
      if (platform === process.platform && architecture === process.arch) continue;
      rmSync(`${binaries}/${version}/${platform}/${architecture}`, { recursive: true });
    }
  }
}
