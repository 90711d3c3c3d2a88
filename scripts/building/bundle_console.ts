import { copyFile } from 'node:fs/promises';
import { build } from 'esbuild';
import { assetPath } from '#kernel/project_root';

// Part of npm run build: the console's page, as browsers take it.
const from = assetPath('serving/console/app');
const to = assetPath('dist/serving/console');
await build({
  entryPoints: [`${from}/main.tsx`],
  outfile: `${to}/app.js`,
  ...{ bundle: true, minify: true, format: 'esm', target: 'es2022', jsx: 'automatic', jsxImportSource: 'preact' },
  ...{ legalComments: 'eof', logLevel: 'warning' },
});
for (const name of ['index.html', 'app.css']) await copyFile(`${from}/${name}`, `${to}/${name}`);
