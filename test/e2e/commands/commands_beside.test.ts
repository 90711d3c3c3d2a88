import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createProgram } from '#cli/commands/program';
import { byForm } from '../../support/jest/forms.ts';
import { type CommandOutcome, runCommand } from '../../support/platforms/command_line.ts';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';
import { temporaryFolder } from '../../support/servers/disk_folder.ts';

// Every command beside a platform that runs on the same folders: it talks to the platform, opens none of its folders, or refuses by name.

/**
 * - `talks`: reads or writes through the platform that runs
 * - `apart`: opens no folder that the platform has
 * - `refuses`: ends with 1, and names the process that has the folder
 */
type Behaviour = 'talks' | 'apart' | 'refuses';

interface Contract {
  readonly behaviour: Behaviour;
  readonly args?: readonly string[];
  /** Exit code of one that does not refuse; with another than 0 the output must hold `says`. */
  readonly code?: number;
  readonly says?: RegExp;
}

const NO_VERSION = { code: 1, says: /no_model|no version/i } as const;

const NO_FLINK = 'http://127.0.0.1:2';
const NOT_THERE = { code: 1, says: /the runner at http:\/\/127\.0\.0\.1:2 did not answer/ } as const;

/** A command that is missing here fails the test: decide what it does. */
const CONTRACTS: Readonly<Record<string, Contract>> = {
  start: { behaviour: 'refuses', args: ['--role', 'pipeline'] },
  init: { behaviour: 'apart', args: ['written', '--template', 'fraud'] },
  'generate client': { behaviour: 'apart', args: ['--out', 'client.ts'], says: /client\.ts/ },
  'notebooks run': {
    behaviour: 'apart',
    args: ['missing.ipynb', '--out', 'a.html', '--timeout', 'soon'],
    code: 2,
    says: /soon/,
  },
  'notebooks start': { behaviour: 'apart', args: ['--idle', 'soon'], code: 2, says: /soon/ },
  dev: { behaviour: 'apart', args: ['--role', 'nothing'], code: 2, says: /nothing is not a role/ },
  test: { behaviour: 'apart', args: ['no_such.test.ts'], code: 2, says: /no file matches/ },
  'scripts run': { behaviour: 'apart', args: ['no_such_script', '--events', '1'], code: 2, says: /no_such_script/ },
  'models train': {
    behaviour: 'apart',
    args: ['fraud_detector', '--training-set', 'missing'],
    code: 1,
    says: /missing/,
  },
  'pipelines run': { behaviour: 'apart', args: ['missing_pipeline'], code: 1, says: /missing_pipeline/ },
  'pipelines worker': { behaviour: 'apart', args: ['missing_pipeline'], code: 1, says: /missing_pipeline|--listen/ },
  'jobs submit': {
    behaviour: 'apart',
    args: ['missing_pipeline', '--environment', 'external:localhost:9'],
    code: 1,
    says: /missing_pipeline/,
  },
  'jobs update': {
    behaviour: 'apart',
    args: ['missing_pipeline', '--environment', 'loopback'],
    code: 2,
    says: /external:HOST:PORT/,
  },
  'jobs list': { behaviour: 'apart', args: ['--url', NO_FLINK], ...NOT_THERE },
  'jobs status': { behaviour: 'apart', args: ['no_job', '--url', NO_FLINK], ...NOT_THERE },
  'jobs drain': { behaviour: 'apart', args: ['no_job', '--url', NO_FLINK], ...NOT_THERE },
  'jobs stop': { behaviour: 'apart', args: ['no_job', '--url', NO_FLINK], ...NOT_THERE },
  'jobs cancel': { behaviour: 'apart', args: ['no_job', '--url', NO_FLINK], ...NOT_THERE },
  'jobs logs': { behaviour: 'apart', args: ['no_job', '--url', NO_FLINK], ...NOT_THERE },
  'predictions batch': {
    behaviour: 'apart',
    args: ['no_model', '--in', 'rows.jsonl', '--out', 'scored'],
    ...NO_VERSION,
  },
  plan: { behaviour: 'talks' },
  apply: { behaviour: 'talks', args: ['--yes'] },
  'features list': { behaviour: 'apart' },
  'catalog crawl': { behaviour: 'apart', code: 1, says: /no object store is set/ },
  'catalog list': { behaviour: 'apart', code: 1, says: /no object store is set/ },
  'object-store sync': { behaviour: 'apart', code: 1, says: /no object store is set/ },
  'features show': { behaviour: 'apart', args: ['fraud@1'] },
  'features diff': { behaviour: 'apart', args: ['user_activity@1', 'user_activity@2'] },
  'features lineage': { behaviour: 'apart', args: ['count_1h'] },
  'features services': { behaviour: 'apart' },
  'features stats': { behaviour: 'talks', args: ['--json'] },
  'features validate': { behaviour: 'apart' },
  'features rebuild-online': { behaviour: 'talks' },
  'features check': { behaviour: 'talks' },
  'report write': { behaviour: 'talks', args: ['--out', 'report'], says: /report\.html/ },
  'features consistency': { behaviour: 'talks' },
  'features export': { behaviour: 'talks', args: ['--view', 'fraud@1', '--out', 'exported'] },
  'features import': {
    behaviour: 'talks',
    args: ['--view', 'fraud@1', '--from', 'nothing'],
    code: 1,
    says: /nothing/,
  },
  'why prediction': { behaviour: 'talks', args: ['none'], code: 1, says: /no prediction in the log/ },
  'why value': { behaviour: 'talks', args: ['account:u1', 'count_1h', '--json'], says: /"equal":/ },
  'history prune': { behaviour: 'talks', args: ['--keep', '400d'] },
  'entities erase': { behaviour: 'talks', args: ['account:nobody', '--yes'], says: /"pipeline":"applied"/ },
  'entities export': { behaviour: 'talks', args: ['account:u1'], says: /"online store":\[\s*\{/ },
  'errors list': { behaviour: 'apart', says: /^CLI_USAGE$/m },
  'errors show': { behaviour: 'apart', args: ['CLI_USAGE'], says: /^CLI_USAGE$/m },
  'audit verify': { behaviour: 'talks', says: /"whole":true/ },
  'features backfill': { behaviour: 'talks', args: ['--in', 'events.jsonl', '--view', 'fraud@1'] },
  'features materialize': {
    behaviour: 'talks',
    args: ['--in', 'events.jsonl'],
    code: 1,
    says: /nothing|no event|used/i,
  },
  'training-sets create': {
    behaviour: 'talks',
    args: ['--out', 'set', '--service', 'fraud@1', '--each', 'row'],
  },
  'datasets list': { behaviour: 'apart' },
  'datasets fetch': { behaviour: 'apart', args: ['no_set', '--out', 'set'], code: 1, says: /no_set/ },
  'dlq list': { behaviour: 'talks', says: /[12] dead letters?/ },
  'dlq show': { behaviour: 'talks', args: ['0/999'], code: 1, says: /0\/999/ },
  'dlq replay': { behaviour: 'talks', args: ['--dry-run'] },
  'backup create': { behaviour: 'talks', says: /^\d{8}T\d{6}Z-/m },
  'backup list': { behaviour: 'apart', says: /offline/ },
  'backup verify': { behaviour: 'apart', says: /no damage/ },
  'backup follow': { behaviour: 'apart', code: 1, says: /disk_log/ },
  'backup wal-push': { behaviour: 'apart', args: ['missing', 'no_segment'], code: 1, says: /no_segment/ },
  'backup wal-fetch': { behaviour: 'apart', args: ['no_segment', 'missing'], code: 1, says: /no_segment/ },
  restore: { behaviour: 'apart', args: ['--only', 'log'], code: 1, says: /--missing/ },
  drill: { behaviour: 'apart', says: /RPO .* RTO / },
  'log verify': { behaviour: 'talks', says: /in use by process/ },
  'log repair': { behaviour: 'refuses' },
  'pipelines lag': { behaviour: 'talks', args: ['--json'], says: /raw-events/ },
  check: { behaviour: 'apart', args: ['--timeout', '1'], code: 1, says: /gateway/ },
  'events send': { behaviour: 'talks', args: ['--events', '5'] },
  'predictions list': { behaviour: 'talks', args: ['--json'] },
  'config show': { behaviour: 'apart' },
  'lambda invoke': { behaviour: 'refuses', args: ['features', '--event', 'proxy.json'] },
  'online-stores create': { behaviour: 'apart', says: /onlineStore\.kind is memory/ },
  'keys create': { behaviour: 'apart', args: ['shop', '--scope', 'ingest', '--file', 'keys.json'] },
  'keys list': { behaviour: 'apart', args: ['--file', 'keys.json'] },
  'keys rotate': { behaviour: 'apart', args: ['shop', '--file', 'keys.json'] },
  'keys revoke': { behaviour: 'apart', args: ['no_key', '--file', 'keys.json'], code: 1, says: /no_key/ },
  'keys change': {
    behaviour: 'apart',
    args: ['no_key', '--scope', 'ingest', '--file', 'keys.json'],
    code: 1,
    says: /no_key/,
  },
  'keys scopes': { behaviour: 'apart' },
  'monitor report': { behaviour: 'talks' },
  'workflows run': { behaviour: 'apart', args: ['no_workflow'], code: 1, says: /no_workflow/ },
  'workflows list': { behaviour: 'talks', says: /no runs/ },
  'workflows history': { behaviour: 'talks', args: ['no_run'], code: 1, says: /no_run/ },
  'workflows logs': { behaviour: 'talks', args: ['no_run'], code: 1, says: /no_run/ },
  'workflows lineage': { behaviour: 'talks', args: ['no_run'], code: 1, says: /no_run/ },
  'workflows redrive': { behaviour: 'talks', args: ['no_run'], code: 1, says: /no_run/ },
  'workflows cancel': { behaviour: 'talks', args: ['no_run', '--reason', 'test'], code: 1, says: /no_run/ },
  'workflows approve': { behaviour: 'talks', args: ['no_run', '--reason', 'test'], code: 1, says: /no_run/ },
  'workflows worker': { behaviour: 'apart', code: 1, says: /pglite/ },
  'workflows step': { behaviour: 'apart', args: ['run:State:1'], code: 1, says: /pglite/ },
  'workflows export': { behaviour: 'apart', args: ['no_workflow'], code: 1, says: /no_workflow/ },
  'workflows import': {
    behaviour: 'apart',
    args: ['missing.asl.json', '--name', 'new'],
    code: 1,
    says: /missing\.asl\.json/,
  },
  'schedules list': { behaviour: 'talks', says: /no schedules/ },
  'schedules next': { behaviour: 'apart', args: ['no_schedule'], code: 1, says: /no_schedule/ },
  'schedules pause': { behaviour: 'talks', args: ['no_schedule'], code: 1, says: /no_schedule/ },
  'schedules resume': { behaviour: 'apart', args: ['no_schedule'], code: 1, says: /no_schedule/ },
  'schedules trigger': { behaviour: 'apart', args: ['no_schedule'], code: 1, says: /no_schedule/ },
  'schedules backfill': {
    behaviour: 'apart',
    args: ['no_schedule', '--from', '2024-12-20', '--to', '2024-12-31'],
    code: 1,
    says: /no_schedule/,
  },
  completion: { behaviour: 'apart', args: ['bash'], says: /complete -F/ },
  complete: { behaviour: 'apart', args: ['--', 'models', ''], says: /promote/ },
  'models list': { behaviour: 'apart' },
  'models replay': { behaviour: 'apart', args: ['no_model', '1', '--since', '2026-01-01T00:00:00Z'], ...NO_VERSION },
  'models show': { behaviour: 'apart', args: ['no_model'], ...NO_VERSION },
  'models diff': { behaviour: 'apart', args: ['no_model', '1', '2'], ...NO_VERSION },
  'models register': { behaviour: 'apart', args: ['no_model', 'missing'], code: 1, says: /missing/ },
  'models export': { behaviour: 'apart', args: ['no_model', '1', '--out', 'model'], ...NO_VERSION },
  'models import': {
    behaviour: 'apart',
    args: ['no_model', '1', '--from', 'http://127.0.0.1:9'],
    code: 1,
    says: /127\.0\.0\.1:9|no_model/,
  },
  'models evaluate': {
    behaviour: 'apart',
    args: ['no_model', '1', '--training-set', 'missing'],
    code: 1,
    says: /missing|no_model/,
  },
  'models bundle': { behaviour: 'apart', args: ['no_model', '--out', 'bundle'], ...NO_VERSION },
  'models optimize': {
    behaviour: 'apart',
    args: ['no_model', '1', '--training-set', 'missing'],
    code: 1,
    says: /missing|no_model/,
  },
  'models validate': { behaviour: 'apart', args: ['no_model', '1'], ...NO_VERSION },
  'models promote': { behaviour: 'apart', args: ['no_model', '1'], ...NO_VERSION },
  'models rollback': { behaviour: 'apart', args: ['no_model'], code: 1, says: /no_model/ },
  'models archive': { behaviour: 'apart', args: ['no_model', '1'], ...NO_VERSION },
  'models results': {
    behaviour: 'apart',
    args: ['no_model', '--url', 'http://127.0.0.1:9'],
    code: 1,
    says: /127\.0\.0\.1:9/,
  },
};

let folder: string;
let data: string;
let platform: PlatformProcess;

const event = (id: string, user: string) => ({
  ...{ event_id: id, event_type: 'transaction', user_id: user, account_id: user, amount: 12, currency: 'EUR' },
  ...{ merchant_id: 'm1', merchant_category: 'grocery', country: 'DE' },
  timestamp: new Date().toISOString(),
});

async function send(id: string, user: string): Promise<number> {
  const answer = await fetch(`${platform.urls.gateway}/ingest`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(event(id, user)),
  });
  return answer.status;
}

const features = async (user: string): Promise<string> =>
  (await fetch(`${platform.urls.features}/features/${user}?view=fraud@1`)).text();

beforeAll(async () => {
  folder = temporaryFolder('beside');
  data = join(folder, 'data');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'events.jsonl'), `${JSON.stringify(event('past-1', 'u2'))}\n`);
  writeFileSync(join(folder, 'rows.jsonl'), '{"a":1}\n');
  writeFileSync(
    join(folder, 'proxy.json'),
    JSON.stringify({ version: '2.0', rawPath: '/features/u1', requestContext: { http: { method: 'GET' } } }),
  );
  platform = await PlatformProcess.start(data);
  expect(await send('live-1', 'u1')).toBe(202);
  // A dead letter.
  expect(await send('live-2', '')).toBe(400);
  const giveUpAt = Date.now() + 60_000;
  while (!(await features('u1')).includes('"features"') && Date.now() < giveUpAt) {
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}, 300_000);
afterAll(async () => {
  await platform.kill();
  rmSync(folder, { recursive: true, force: true });
});

const run = (args: readonly string[]): Promise<CommandOutcome> =>
  runCommand(folder, args, {
    ...{ DATA_DIRECTORY: data, BACKUP_DIRECTORY: join(folder, 'backups') },
    BACKUP_SECRET: 'a secret of tests that is long enough',
  });

/** Returns the names of commands, without those that only have others. */
function commandsBelow(command: CommandUnknownOpts, path: readonly string[] = []): readonly string[] {
  if (command.commands.length === 0) return [path.join(' ')];
  return command.commands.flatMap((below) => commandsBelow(below, [...path, below.name()]));
}

/** Of the short form: each way of reaching each folder, through the platform, apart from it and refused. attack/two_owners.test.ts has some more. */
const SHORT: ReadonlySet<string> = new Set([
  ...['start', 'lambda invoke'],
  ...[
    'backup create',
    'plan',
    'features export',
    'features import',
    'entities export',
    'audit verify',
    'features backfill',
    'training-sets create',
  ],
  ...['dlq replay', 'features rebuild-online'],
  ...['features list', 'predictions batch', 'keys create', 'models validate', 'models train'],
]);
const CHECKED = byForm({ short: [...SHORT], long: Object.keys(CONTRACTS) }).map(
  (name) => [name, CONTRACTS[name] as Contract] as const,
);

test('what every command does beside a platform that runs is decided', () => {
  expect([...commandsBelow(createProgram())].sort()).toEqual(Object.keys(CONTRACTS).sort());
});

/** Of an unhandled error: a message for users has none. */
const STACK = /^\s+at .+:\d+:\d+\)?$/m;

test.each(CHECKED)(
  'beside a platform that runs, %s does what it should',
  async (name, contract) => {
    const { behaviour, args = [], code = 0, says = /(?:)/ } = contract;
    const outcome = await run([...name.split(' '), ...args]);
    const output = `${outcome.stdout}\n${outcome.stderr}`;
    expect(output).not.toMatch(STACK);
    if (behaviour === 'refuses') {
      expect([outcome.code, outcome.stderr]).toEqual([
        1,
        expect.stringContaining(`is in use by process ${platform.pid} `),
      ]);
      return;
    }
    expect([outcome.code, outcome.stderr.includes('in use by')]).toEqual([code, false]);
    expect(output).toMatch(says);
  },
  300_000,
);

test('after all of them the platform has what it had, and takes more', async () => {
  expect(await send('live-3', 'u3')).toBe(202);
  const giveUpAt = Date.now() + 60_000;
  while (!(await features('u3')).includes('"features"') && Date.now() < giveUpAt) {
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  for (const user of ['u1', 'u2', 'u3'])
    expect([user, await features(user)]).toEqual([user, expect.stringContaining('"features"')]);
  expect(await platform.terminate()).toBe(0);
  platform = await PlatformProcess.start(data);
  expect(await features('u1')).toContain('"features"');
}, 300_000);
