import { readFile, rm, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { build } from 'esbuild';
import { assetPath } from '#kernel/project_root';

// Part of npm run build: the console's page, as browsers take it. What the first page needs is one file; other pages and what draws charts are loaded when they are opened.
const from = assetPath('serving/console/app');
const to = assetPath('dist/serving/console/app');
await rm(to, { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: [`${from}/main.tsx`],
  outdir: to,
  ...{ bundle: true, splitting: true, minify: true, format: 'esm', target: 'es2022', metafile: true },
  ...{ jsx: 'automatic', jsxImportSource: 'preact', entryNames: '[name]-[hash]', chunkNames: '[name]-[hash]' },
  ...{ legalComments: 'eof', logLevel: 'warning' },
});
// Pages that are imported when they are opened are entry points as well.
const [script, output] =
  Object.entries(metafile.outputs).find(([, { entryPoint }]) => entryPoint?.endsWith('/main.tsx')) ?? [];
const index = await readFile(`${from}/index.html`, 'utf8');
await writeFile(
  `${to}/index.html`,
  index.replace('main.js', basename(script ?? '')).replace('main.css', basename(output?.cssBundle ?? '')),
);
