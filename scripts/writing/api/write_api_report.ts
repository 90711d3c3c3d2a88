import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { assetPath } from '#kernel/project_root';
import { apiReports } from './api_reports.ts';

// npm run api: writes public/api/, the report of what the package promises. Run it after a change of the public surface, and review the difference.

mkdirSync(assetPath('public/api'), { recursive: true });
for (const { file, text } of apiReports(assetPath('dist'))) {
  const path = assetPath(`public/api/${file}`);
  writeFileSync(path, text);
  process.stdout.write(`${file}: ${readFileSync(path, 'utf8').split('\n').length} lines\n`);
}
