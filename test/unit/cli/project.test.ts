import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { runCommand } from '../../support/platforms/command_line.ts';

// Projects as others write them: every command that loads one is the built `headwater`, in a folder of its own.

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'project-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const CONFIG = "import { defineConfig } from 'headwater';\nexport default defineConfig();\n";
const VIEW = `import { count, entity, featureView, source } from 'headwater/features';
import { z } from 'zod';
export const user = entity('user', ['uid']);
export const visits = source('visits', { schema: z.strictObject({ visit: z.string(), uid: z.string() }), id: 'visit', key: 'uid' });
export const visitView = featureView({ name: 'visits', version: 1, entity: user, source: visits, ttl: '1d', owner: 'o', description: 'd', features: { ...count().over('1h') } });
`;

async function write(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
}

const headwater = (...args: readonly string[]) => runCommand(folder, args, { HEADWATER_PROJECT: folder });

test('definitions are found in features/ and below, in whatever form of module TypeScript takes, once each', async () => {
  await write({
    'headwater.config.ts': CONFIG,
    'features/visits.ts': VIEW,
    // Named as TypeScript projects name it: by what the compiler would write.
    'features/again.ts': "export { visitView as other } from './visits.js';\n",
    'features/deep/more.mts': `import { featureView, count } from 'headwater/features';
import { user, visits } from '../visits';
enum Owner { Growth = 'growth' }
export const more = featureView({ name: 'more', version: 2, entity: user, source: visits, ttl: '1d', owner: Owner.Growth, description: 'd', features: { ...count({ as: 'seen' }).over('2h') } });
`,
    'features/plain.js': 'export const nothing = 1;\n',
    'features/visits.test.ts': "throw new Error('a test is no definition');\n",
    'features/types.d.ts': 'export declare const x: number;\n',
  });
  const { code, stdout, stderr } = await headwater('features', 'list', '--json');
  expect([code, stderr]).toEqual([0, '']);
  const views = new Set((JSON.parse(stdout) as { view: string }[]).map(({ view }) => view));
  expect([...views].sort()).toEqual([viewId({ view: 'more', version: 2 }), viewId({ view: 'visits', version: 1 })]);
}, 60_000);

test('a folder without a project is named, and where the project is', async () => {
  await write({ 'headwater.config.ts': CONFIG, 'inside/notes.txt': '' });
  const inside = join(folder, 'inside');
  const { code, stderr } = await runCommand(inside, ['features', 'list'], { HEADWATER_PROJECT: inside });
  expect(code).not.toBe(0);
  expect(stderr).toContain(`${inside} has no headwater.config.ts: the project is ${folder}`);
}, 60_000);

test.each([
  ['a syntax error', { 'features/bad.ts': 'export const = 1;\n' }, /features\/bad\.ts: /],
  [
    'a decorator',
    { 'features/bad.ts': 'function f(){}\nclass A {\n  @f b(): void {}\n}\nexport const a = new A();\n' },
    /features\/bad\.ts:3 has a decorator, which Node does not run/,
  ],
  ['a module that throws', { 'features/bad.ts': "throw new Error('no luck');\n" }, /features\/bad\.ts: no luck/],
  [
    'a package that is not installed',
    { 'features/bad.ts': "import 'absent-package';\n" },
    /features\/bad\.ts: .*absent-package/,
  ],
  [
    'a mistake in a view',
    { 'features/visits.ts': VIEW.replace("count().over('1h')", "count().over('900d')") },
    /features\/visits\.ts: .*366d/s,
  ],
  [
    'two views of one name',
    {
      'features/visits.ts': VIEW,
      'features/w.ts': VIEW.replace("name: 'visits'", "name: 'visits'").replace("source('visits'", "source('other'"),
    },
    /two views are called visits@1/,
  ],
  [
    'two sources of one event type',
    {
      'features/visits.ts': VIEW,
      'features/w.ts': VIEW.replace("name: 'visits'", "name: 'w'")
        .replace("source('visits', {", "source('other', { type: 'visits',")
        .replace('count()', "count({ as: 'n' })"),
    },
    /sources visits and other both have the event type "visits"/,
  ],
  [
    'a config that exports nothing',
    { 'headwater.config.ts': 'export const a = 1;\n' },
    /its default export must be defineConfig/,
  ],
  [
    'a folder that is named and absent',
    { 'headwater.config.ts': CONFIG.replace('()', "({ features: './absent' })") },
    /absent: headwater\.config names it, and it does not exist/,
  ],
  [
    'settings that are wrong',
    { 'features/visits.ts': VIEW, 'configs/default.yaml': 'gateway: { prot: 1 }\n' },
    /gateway\.prot: unknown key/,
  ],
])(
  '%s is an error that names the file',
  async (_, files, problem) => {
    await write({ 'headwater.config.ts': CONFIG, ...files } as Record<string, string>);
    const { code, stderr } = await headwater('features', 'validate');
    expect([code === 0, stderr]).toEqual([false, expect.stringMatching(problem)]);
    expect(stderr).not.toMatch(/\n {4}at /);
  },
  60_000,
);

test("a project's settings are laid over those of the package, file by file; what code defines lies between", async () => {
  await write({
    'headwater.config.ts': CONFIG,
    'features/visits.ts': VIEW,
    'models/churn.ts': `import { defineModel } from 'headwater';
import { visitView } from '../features/visits.ts';
export const churn = defineModel({ name: 'churn', service: visitView, training: { trainer: 'xgboost', classes: ['kept', 'lost'] }, gates: { metric: 'auc', worst: 0.6 }, canary: { steps: [10, 50], rowsAStep: 100 }, monitoring: { minRows: 500, thresholds: { psi: 0.3 } } });
`,
    'configs/default.yaml':
      'log: { level: error }\npromotion: { churn: { worst: 0.7 } }\nmonitor: { models: { churn: { thresholds: { psi: 0.4 } } } }\n',
    'configs/embedded.yaml': 'topics: { partitions: 2 }\n',
    'configs/mine.yaml': 'topics: { partitions: 3 }\n',
  });
  const config = async (env: Readonly<Record<string, string>> = {}) => {
    const { stdout, stderr } = await runCommand(folder, ['config', '--json'], {
      HEADWATER_PROJECT: folder,
      LOG_LEVEL: '',
      ...env,
    });
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout) as Record<string, unknown>;
  };
  expect(await config()).toMatchObject({
    ...{ log: { level: 'error' }, topics: { partitions: 2, rawEvents: 'raw-events' } },
    promotion: { churn: { metric: 'auc', worst: 0.7 } },
    training: { churn: { trainer: 'xgboost', service: 'visits@1' } },
    serving: { models: [{ name: 'churn', canary: { steps: [10, 50], rowsAStep: 100, whenPassed: 'hold' } }] },
    monitor: { models: { churn: { minRows: 500, thresholds: { psi: 0.4 } } } },
  });
  expect(await config({ ENVIRONMENT: 'embedded,mine' })).toMatchObject({ topics: { partitions: 3 } });
  await expect(config({ ENVIRONMENT: 'absent' })).rejects.toThrow(/there is no absent\.yaml in .*configs or .*configs/);
}, 120_000);

test('a canary or a monitoring that is wrong is named with its model', async () => {
  await write({
    'headwater.config.ts': CONFIG,
    'features/visits.ts': VIEW,
    'models/churn.ts': `import { defineModel } from 'headwater';
import { visitView } from '../features/visits.ts';
export const churn = defineModel({ name: 'churn', service: visitView, canary: { steps: [50, 10] }, monitoring: { minRows: 3, ignore: ['absent' as never] } });
`,
  });
  const { code, stderr } = await headwater('features', 'validate');
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/model churn, canary\.steps: each step must be larger/);
  expect(stderr).toMatch(/model churn, monitoring\.minRows: /);
  expect(stderr).toMatch(/model churn: visits@1 has no column "absent"/);
}, 60_000);

test("pipelines of the project's folder run by name, from TypeScript and on threads; one that does not exist is refused with the nearest", async () => {
  await write({
    'headwater.config.ts': CONFIG,
    'pipelines/deep/words.ts': `import { writeFileSync } from 'node:fs';
import { combinePerKey, type Construct, create, keyBy, sum } from 'headwater/pipelines';
import { file } from '../file.js';
export default ({ words = '' }: Readonly<Record<string, string>>): Construct => (root) => {
  root.apply(create(words.split(','))).apply(keyBy((word) => word)).map(({ key }) => ({ key, value: 1 })).apply(combinePerKey(sum())).map(({ value }) => writeFileSync(file, String(value)));
};
`,
    'pipelines/file.ts': `enum Name { Found = ${JSON.stringify(join(folder, 'found'))} }\nexport const file: string = Name.Found;\n`,
  });
  for (const args of [[], ['--threads', '1']]) {
    const { code, stderr } = await headwater('pipelines', 'run', 'deep/words', '--option', 'words=a,a,a', ...args);
    expect([code, stderr]).toEqual([0, '']);
    expect(await readFile(join(folder, 'found'), 'utf8')).toBe('3');
    await rm(join(folder, 'found'));
  }
  expect(await headwater('pipelines', 'run', 'deep/word')).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/did you mean "deep\/words"/),
  });
}, 60_000);
