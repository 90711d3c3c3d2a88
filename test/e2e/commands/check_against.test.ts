import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { runCommand } from '../../support/platforms/command_line.ts';
import { ProjectCopy } from '../../support/platforms/project_copy.ts';

// `headwater check --against` in a git repository of its own, whose definitions are those of the platform in a folder of the repository.

let repository: string;
let project: string;
let copy: ProjectCopy;
const git = (...args: readonly string[]): string =>
  execFileSync('git', ['-c', 'user.name=ann', '-c', 'user.email=ann@example.com', ...args], {
    ...{ cwd: repository, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  }) as string;

const restore = (): string => git('checkout', '--quiet', '--', '.');

beforeAll(() => {
  repository = mkdtempSync(join(tmpdir(), 'check-against-'));
  project = join(repository, 'platform');
  mkdirSync(project);
  copy = new ProjectCopy(project);
  git('init', '--quiet', '--initial-branch=main');
  git('add', '--all');
  git('commit', '--quiet', '--message', 'Define features');
});
afterEach(() => void restore());
afterAll(() => rmSync(repository, { recursive: true, force: true }));

const FILES: Readonly<Record<string, string>> = {
  fraud: 'examples/fraud/features',
  sensors: 'examples/sensors/features',
};

function edit(view: string, before: string, after: string): void {
  const file = join(project, FILES[view] as string, `${view}.ts`);
  const source = readFileSync(file, 'utf8');
  expect(source).toContain(before);
  writeFileSync(file, source.replace(before, after));
}

interface Outcome {
  readonly passed: boolean;
  readonly changes: readonly Readonly<Record<string, unknown>>[];
  readonly models: readonly string[];
  readonly broken: readonly { readonly model: string; readonly problems: readonly string[] }[];
}
// The registry is empty: the model that is shipped goes into production at the first start.
const check = async (...args: readonly string[]): Promise<Outcome & { readonly code: number }> => {
  const { code, stdout, stderr } = await runCommand(project, ['check', '--json', ...args], {
    ...copy.env,
    DATA_DIRECTORY: join(tmpdir(), `absent-${process.pid}`),
  });
  if (stdout === '') throw new Error(stderr);
  return { code, ...(JSON.parse(stdout) as Outcome) };
};

test('passes where nothing changes values, and leaves the repository as it was', async () => {
  expect(await check('--against', 'HEAD')).toEqual({
    ...{ code: 0, against: 'HEAD', passed: true, changes: [], models: ['fraud_detector (initial)'], broken: [] },
  });
  edit('fraud', "owner: 'risk',", "owner: 'payments', // the new team");
  edit('fraud', "count().over('1h', '6h', '24h', '7d')", "count().over('1h', '6h', '24h', '3d', '7d')");
  edit('fraud', "distinct('merchant_id').over('1h', '24h')", "distinct( 'merchant_id' ).over('24h', '1h')");
  const status = git('status', '--porcelain');
  const outcome = await check('--against', 'main');
  expect(outcome).toMatchObject({ code: 0, passed: true, broken: [] });
  expect(outcome.changes).toEqual([
    {
      ...{ kind: 'view', id: 'fraud@1', change: 'changed', breaking: false, services: [] },
      differences: ['feature count_3d of fraud@1 was added'],
    },
  ]);
  expect(git('status', '--porcelain')).toBe(status);
  expect(git('worktree', 'list').trim().split('\n')).toHaveLength(1);
}, 300_000);

test.each([
  {
    name: 'a formula',
    edits: [['numberOr0(row.count_24h) / 24)', 'numberOr0(row.count_24h) / 23)']],
    problem: /^feature velocity of fraud@1 has changed: its function was `.*\/ 24\).*`, is `.*\/ 23\)/,
  },
  {
    name: 'a window',
    edits: [
      [
        "...stddev('amount').over('1h', '6h', '24h', '7d')",
        "...stddev('amount').over('1h', '6h', '24h', '7d'),\n...mean('amount', { as: 'other' }).over('1h')",
      ],
      ["...sum('amount').over('1h'", "...sum('amount', { where: (event) => Number(event.amount) > 1 }).over('1h'"],
    ],
    problem: /^feature sum_amount_1h of fraud@1 has changed: .*its filter was nothing, is `/,
  },
  {
    name: 'a feature that is gone',
    edits: [["...stddev('amount').over('1h', '6h', '24h', '7d')", "...stddev('amount').over('1h', '24h', '7d')"]],
    problem: /^feature stddev_amount_6h of fraud@1 was removed/,
  },
  {
    name: 'a constant that a formula uses',
    edits: [['gambling: 0.9', 'gambling: 0.8']],
    problem: /^feature risk_score of fraud@1 has changed: CATEGORY_RISK/,
  },
])(
  'fails for $name that a model was trained on, and names model, view, feature and difference',
  async ({ edits, problem }) => {
    for (const [before, after] of edits) edit('fraud', before as string, after as string);
    const { code, passed, broken } = await check('--against', 'HEAD');
    expect([code, passed]).toEqual([1, false]);
    expect(broken).toEqual([
      { model: 'fraud_detector (initial)', problems: expect.arrayContaining([expect.stringMatching(problem)]) },
    ]);
  },
  300_000,
);

test('a breaking change of what no model reads passes, and is shown; a commit is compared with the one before it', async () => {
  edit('sensors', 'version: 1,', 'version: 2,');
  git('commit', '--quiet', '--all', '--message', 'Count sensors otherwise');
  expect((await check('--against', 'HEAD')).changes).toEqual([]);
  const outcome = await check('--against', 'HEAD~1');
  expect(outcome).toMatchObject({ code: 0, passed: true });
  expect(outcome.changes).toMatchObject([
    { id: 'sensor@1', change: 'removed', breaking: true },
    { id: 'sensor@2', change: 'new', breaking: false },
  ]);
}, 300_000);

test('what cannot be compared is an error that names it', async () => {
  await expect(check('--against', 'absent')).rejects.toThrow(/--against absent: this repository has no such commit/);
  await expect(check('--against=--upload-pack=x')).rejects.toThrow(/no such commit/);
  edit('fraud', "sum('amount')", "sum('amuont')");
  await expect(check('--against', 'HEAD')).rejects.toThrow(/fraud\.ts: [\s\S]*amuont/);
  restore();
  const outside = mkdtempSync(join(tmpdir(), 'no-git-'));
  cpSync(project, outside, { recursive: true });
  const { code, stderr } = await runCommand(outside, ['check', '--against', 'HEAD'], {
    GIT_CEILING_DIRECTORIES: tmpdir(),
    HEADWATER_PROJECT: outside,
  });
  rmSync(outside, { recursive: true, force: true });
  expect([code, stderr]).toEqual([1, expect.stringMatching(/--against HEAD: fatal: not a git repository/)]);
}, 300_000);
