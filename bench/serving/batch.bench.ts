import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { assetPath } from '#kernel/project_root';
import { Random } from '#kernel/random';
import { LocalRegistry } from '#registry/local/local_registry';
import { report } from '../tools/result.ts';
import { COLUMNS, trainBenchModel } from '../workloads/serving_workload.ts';

// Files scored by `headwater predictions batch` as a command of its own, start and end included: XGBoost with 100 trees on 30 columns, Parquet in and out.
const FILES = 8;
const ROWS_A_FILE = 250_000;
const ROW_GROUP = 50_000;
const FLOOR = 200_000;

const folder = mkdtempSync(join(tmpdir(), 'bench-batch-'));
const { model } = await trainBenchModel();
const registry = new LocalRegistry({ kind: 'local', directory: join(folder, 'data', 'models') });
const { version } = await registry.register({ name: 'bench', ...model });
await registry.transition('bench', version, 'Production');

mkdirSync(join(folder, 'in'));
const random = new Random(3);
for (let file = 0; file < FILES; file += 1) {
  const columnData = [
    {
      name: 'id',
      data: Array.from({ length: ROWS_A_FILE }, (_, row) => `row-${file}-${row}`),
      type: 'STRING' as const,
    },
    ...COLUMNS.map((name) => ({
      ...{ name, type: 'DOUBLE' as const },
      data: Float64Array.from({ length: ROWS_A_FILE }, () => random.between(-3, 3)),
    })),
  ];
  const bytes = parquetWriteBuffer({ columnData, rowGroupSize: ROW_GROUP });
  writeFileSync(join(folder, 'in', `${file}.parquet`), Buffer.from(bytes));
}

for (const threads of [1, 2]) {
  const out = join(folder, `out-${threads}`);
  const args = [
    'predictions',
    'batch',
    'bench',
    '--in',
    join(folder, 'in/*.parquet'),
    '--out',
    out,
    '--threads',
    `${threads}`,
  ];
  const beganMs = performance.now();
  const code = await new Promise((resolve) => {
    const env = { ...process.env, NODE_OPTIONS: '', DATA_DIRECTORY: join(folder, 'data') };
    spawn(process.execPath, [assetPath('dist/cli/headwater.js'), ...args], {
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
    }).on('close', resolve);
  });
  if (code !== 0) throw new Error(`headwater predictions batch ended with code ${code}`);
  const seconds = (performance.now() - beganMs) / 1_000;
  report({
    ...{ bench: 'batch', case: `${FILES * ROWS_A_FILE} rows, ${threads} threads`, metric: 'throughput' },
    ...{ value: (FILES * ROWS_A_FILE) / seconds, unit: 'rows/s', floor: FLOOR },
  });
}
rmSync(folder, { recursive: true, force: true });
