import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { globSync } from 'tinyglobby';
import { assetPath } from '#kernel/project_root';
import { check, endChecks } from './checking/counted_checks.ts';
import { run } from './services/install.ts';
import { wrongValues } from './terraform/api_values.ts';
import {
  ATTEMPTS,
  assume,
  type Clients,
  clientsOf,
  enforce,
  lockState,
  type Moto,
  makeOn,
  startMoto,
} from './terraform/moto.ts';
import { type PlannedResource, policiesOf, readPlan } from './terraform/plan.ts';
import { environmentPolicies, POLICIES, type Policy, WILDCARDS } from './terraform/policies.ts';
import { SPOILT, SPOILT_CODE } from './terraform/spoilt.ts';
import { ACCOUNT, providerMirror, pythonTools, tofuBinary } from './terraform/tools.ts';

// npm run check:terraform: infra/ by OpenTofu itself, checkov, policies on plans, and moto. No cloud is called: providers know schemas only, and what
// a plan makes is made on an emulator. The first run builds OpenTofu, which takes about ten minutes.

const PASSWORDS = Object.fromEntries(
  ['database', 'redis', 'kafka'].map((name) => [`TF_VAR_${name}_password`, 'a-password-of-this-check']),
);
const BOOTSTRAP = {
  TF_VAR_environment: 'dev',
  TF_VAR_account_id: ACCOUNT,
  TF_VAR_repository: 'example/headwater',
};
const GITHUB = { TF_VAR_owner: 'example', TF_VAR_approvers: '[1]' };

const folder = await mkdtemp(join(tmpdir(), 'headwater-terraform-'));
const tofu = await tofuBinary();
const python = await pythonTools();
const configuration = await providerMirror(folder);

function tofuIn(cwd: string, args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  return run(tofu, args, {
    cwd,
    env: { TF_CLI_CONFIG_FILE: configuration, TF_IN_AUTOMATION: '1', CHECKPOINT_DISABLE: '1', ...PASSWORDS, ...env },
  });
}

/** A copy of infra/, so that nothing is written into the repository. */
async function copyOfInfra(name: string): Promise<string> {
  const copy = join(folder, name);
  await cp(assetPath('infra'), copy, { recursive: true });
  return copy;
}

/** Folders that can be planned: those with a .tf file. */
const foldersOf = (infra: string): readonly string[] =>
  [...new Set(globSync('**/*.tf', { cwd: infra }).map((path) => dirname(path)))].sort();

async function checkCode(): Promise<void> {
  const infra = await copyOfInfra('code');
  await check('fmt', () => tofuIn(infra, ['fmt', '-check', '-recursive', '-no-color']));
  for (const name of foldersOf(infra)) {
    const path = join(infra, name);
    await check(`${name}: init and validate`, async () => {
      await tofuIn(path, ['init', '-backend=false', '-input=false', '-no-color']);
      await tofuIn(path, ['validate', '-no-color']);
    });
    await check(`${name}: tofu test`, async () => {
      const output = await tofuIn(path, ['test', '-no-color']);
      if (!/Success! [1-9]\d* passed, 0 failed/.test(output)) throw new Error(`no test ran:\n${output}`);
    });
  }
  for (const { what, path, found, instead, refusal } of SPOILT_CODE) {
    await check(
      `validate refuses ${what}`,
      () => spoil(infra, path, found, instead, () => tofuIn(join(infra, dirname(path)), ['validate', '-no-color'])),
      refusal,
    );
  }
  await check('checkov', async () => {
    const args = ['-d', assetPath('infra'), '--config-file', assetPath('infra/.checkov.yaml')];
    await run(join(python, 'checkov'), args);
  });
}

/** Changes a file while `work` runs. */
async function spoil<T>(
  infra: string,
  path: string,
  found: string,
  instead: string,
  work: () => Promise<T>,
): Promise<T> {
  const file = join(infra, path);
  const source = await readFile(file, 'utf8');
  if (!source.includes(found)) throw new Error(`infra/${path} has no "${found}" to spoil`);
  await writeFile(file, source.replace(found, instead));
  try {
    return await work();
  } finally {
    await writeFile(file, source);
  }
}

async function planOf(path: string, env: Record<string, string>): Promise<readonly PlannedResource[]> {
  const json = join(folder, 'plan.json');
  await tofuIn(path, ['plan', '-input=false', '-no-color', '-out', join(folder, 'plan.bin')], env);
  await run('sh', ['-c', `"$TOFU" show -json "${join(folder, 'plan.bin')}" > "${json}"`], {
    ...{ cwd: path, env: { TOFU: tofu, TF_CLI_CONFIG_FILE: configuration, ...env } },
  });
  return readPlan(json);
}

const localState = (path: string): Promise<void> =>
  writeFile(join(path, 'check_override.tf'), 'terraform {\n  backend "local" {}\n}\n');

/** Plans everything; the environments keep their state where bootstrap made it, on moto. */
async function checkPlans(on: Moto): Promise<ReadonlyMap<string, readonly PlannedResource[]>> {
  const infra = await copyOfInfra('plans');
  const plans = new Map<string, readonly PlannedResource[]>();
  const environments = await readdir(join(infra, 'aws/environments'));
  for (const environment of environments) {
    await check(
      `aws/bootstrap: a plan for ${environment}, of which moto makes the bucket and the table of locks`,
      async () => {
        const path = join(infra, 'aws/bootstrap');
        const env = { ...BOOTSTRAP, TF_VAR_environment: environment };
        await tofuIn(path, ['init', '-input=false', '-no-color']);
        const resources = await planOf(path, env);
        plans.set(`aws/bootstrap of ${environment}`, resources);
        const made = await makeOn(on, resources);
        if (made < 10) throw new Error(`only ${made} resources were made`);
      },
    );
    const path = join(infra, 'aws/environments', environment);
    const bucket = `headwater-${environment}-state-${ACCOUNT}`;
    const table = `headwater-${environment}-state-locks`;
    await check(
      `aws/environments/${environment}: init and plan with the state in S3 and a lock in DynamoDB`,
      async () => {
        const options = [
          `bucket=${bucket}`,
          'use_path_style=true',
          'skip_credentials_validation=true',
          'skip_requesting_account_id=true',
        ];
        await tofuIn(
          path,
          ['init', '-input=false', '-no-color', ...options.map((option) => `-backend-config=${option}`)],
          on.env,
        );
        plans.set(`aws/environments/${environment}`, await planOf(path, on.env));
      },
    );
    await check(
      `aws/environments/${environment}: a plan while another run holds the lock is refused`,
      async () => {
        await lockState(on, table, `${bucket}/headwater/${environment}.tfstate`);
        await planOf(path, on.env);
      },
      /Error acquiring the state lock[\s\S]*held/,
    );
  }
  for (const [name, env] of [
    ['google/environments/dev', {}],
    ['github', GITHUB],
  ] as const) {
    await check(`${name}: plan`, async () => {
      const path = join(infra, name);
      await localState(path);
      await tofuIn(path, ['init', '-input=false', '-no-color']);
      plans.set(name, await planOf(path, env));
    });
  }
  return plans;
}

const refuseAny = (problems: readonly string[]): void => {
  if (problems.length > 0) throw new Error(problems.join('\n'));
};

async function checkPolicies(plans: ReadonlyMap<string, readonly PlannedResource[]>): Promise<void> {
  const data = globSync('../lib/python3*/site-packages/botocore/data/s3/', {
    cwd: python,
    onlyDirectories: true,
    absolute: true,
  })[0];
  if (data === undefined) throw new Error(`there is no botocore beside ${python}`);
  const apiValues = (resources: readonly PlannedResource[]): readonly string[] => wrongValues(dirname(data), resources);
  const documents = join(folder, 'documents');
  await mkdir(documents);
  for (const [name, resources] of plans) {
    const environment = /^aws\/environments\/(\w+)$/.exec(name)?.[1];
    const policies = [...POLICIES, ...(environment === undefined ? [] : environmentPolicies(environment))];
    for (const policy of policies)
      await check(`${name}: ${policy.name}`, async () => refuseAny(policy.check(resources)));
    if (name.startsWith('aws/')) {
      await check(`${name}: values are those of AWS's API models`, async () => refuseAny(apiValues(resources)));
    }
    for (const { resource, document } of policiesOf(resources)) {
      if (document === undefined || !/^aws_iam_(?:role_)?policy$/.test(resource.type)) continue;
      const file = `${name}-${resource.address}`.replaceAll(/[^\w]+/g, '_');
      await writeFile(join(documents, `${file}.json`), JSON.stringify(document));
    }
  }
  await check('each listed wildcard is one that a plan has', async () => {
    const all = [...plans.values()].flatMap((resources) => policiesOf(resources));
    const unused = WILDCARDS.filter(
      ({ address, sid }) =>
        !all.some(
          ({ resource, document }) =>
            address.test(resource.address) && document?.Statement.some(({ Sid }) => Sid === sid),
        ),
    );
    refuseAny(unused.map(({ address, sid }) => `${sid} of ${address} is in no plan: remove it`));
  });
  await check('parliament: policies name actions and resources that IAM has', () => parliament(documents));
  await check(
    'parliament refuses an action that does not fit its resource',
    async () => {
      const [first = ''] = await readdir(documents);
      const fault = { Sid: 'S', Effect: 'Allow', Action: 's3:ListBucket', Resource: 'arn:aws:s3:::bucket/*' };
      await writeFile(join(documents, first), JSON.stringify({ Version: '2012-10-17', Statement: [fault] }));
      await parliament(documents);
    },
    /No resources match for the given action/,
  );
  const infra = await copyOfInfra('spoilt');
  for (const root of ['aws/environments/dev', 'aws/bootstrap', 'google/environments/dev']) {
    await localState(join(infra, root));
    await tofuIn(join(infra, root), ['init', '-input=false', '-no-color']);
  }
  for (const { what, root, path, found, instead, refusal } of SPOILT) {
    const policies: readonly Policy[] = [
      ...POLICIES,
      ...(root === 'aws/environments/dev' ? environmentPolicies('dev') : []),
      { name: 'API models', check: apiValues },
    ];
    await check(
      `policies refuse ${what}`,
      () =>
        spoil(infra, path, found, instead, async () => {
          const resources = await planOf(join(infra, root), root === 'aws/bootstrap' ? BOOTSTRAP : {});
          refuseAny(policies.flatMap((policy) => policy.check(resources)));
        }),
      refusal,
    );
  }
}

/** Resources that are `*` are left to the policy that knows the reasons for them. */
async function parliament(documents: string): Promise<void> {
  const config = join(folder, 'parliament.yaml');
  await writeFile(config, 'RESOURCE_STAR: { severity: INFO }\n');
  await run(join(python, 'parliament'), [
    ...['--directory', documents, '--include_policy_extension', 'json', '--minimum_severity', 'LOW'],
    ...['--config', config],
  ]);
}

type Attempt = readonly [role: string, does: keyof typeof ATTEMPTS, target: string];
const bucketOf = (kind: string): string => `headwater-dev-${kind}-${ACCOUNT}`;

/** What each role of the platform needs, and what it must not do. */
const NEEDS: readonly Attempt[] = [
  ...(['raw', 'features'] as const).flatMap((kind): Attempt[] => [
    ['pipeline', 'put', kind],
    ['pipeline', 'get', kind],
    ['pipeline', 'list', kind],
  ]),
  ['features', 'get', 'features'],
  ['features', 'list', 'features'],
  ['serving', 'get', 'models'],
  ['serving', 'list', 'models'],
  ['monitor', 'get', 'predictions'],
  ['jobs', 'put', 'reports'],
  ['jobs', 'put', 'predictions'],
  ['jobs', 'get', 'raw'],
  ['jobs', 'get', 'models'],
  ['mlflow', 'put', 'models'],
  ['mlflow', 'get', 'models'],
  ['mlflow', 'delete', 'models'],
  ['deploy-plan', 'get', 'state'],
  ['deploy-apply', 'get', 'state'],
  ['deploy-apply', 'put', 'state'],
];
const REFUSED: readonly Attempt[] = [
  ['pipeline', 'delete', 'raw'],
  ['pipeline', 'get', 'models'],
  ['pipeline', 'put', 'reports'],
  ['features', 'put', 'features'],
  ['features', 'get', 'raw'],
  ['serving', 'put', 'models'],
  ['serving', 'get', 'raw'],
  ['serving', 'get', 'state'],
  ['monitor', 'put', 'predictions'],
  ['monitor', 'get', 'models'],
  ['jobs', 'delete', 'reports'],
  ['jobs', 'put', 'models'],
  ['jobs', 'put', 'raw'],
  ['mlflow', 'get', 'raw'],
  ['mlflow', 'put', 'predictions'],
  ['alertmanager', 'get', 'raw'],
  ['secrets', 'get', 'models'],
  ['deploy-plan', 'put', 'state'],
  ['serving', 'publish', 'on-call'],
  ...[
    'pipeline',
    'features',
    'serving',
    'monitor',
    'jobs',
    'mlflow',
    'alertmanager',
    'secrets',
    'deploy-plan',
    'deploy-apply',
  ].map((role): Attempt => [role, 'create user', 'intruder']),
];

async function checkRoles(on: Moto, plans: ReadonlyMap<string, readonly PlannedResource[]>): Promise<void> {
  await check('moto makes the buckets, topics and roles of aws/environments/dev', async () => {
    const made = await makeOn(on, plans.get('aws/environments/dev') ?? []);
    if (made < 50) throw new Error(`only ${made} resources were made`);
    const { s3 } = clientsOf(on);
    for (const kind of ['raw', 'features', 'models', 'predictions', 'reports', 'state']) {
      await ATTEMPTS.put({ s3 } as Clients, bucketOf(kind), 'a/object');
    }
  });
  await check('moto: a topic of alerts takes a message', () =>
    ATTEMPTS.publish(clientsOf(on), 'headwater-dev-on-call'),
  );
  await check('moto: an object that was overwritten and deleted can be restored', () => restoreObject(on));
  const clients = new Map<string, Clients>();
  for (const role of new Set([...NEEDS, ...REFUSED].map(([name]) => name)))
    clients.set(role, await assume(on, `headwater-dev-${role}`));
  await enforce(on);
  const attempt = ([role, does, target]: Attempt): Promise<unknown> => {
    const name = does === 'publish' ? `headwater-dev-${target}` : does === 'create user' ? target : bucketOf(target);
    return ATTEMPTS[does](clients.get(role) as Clients, name);
  };
  for (const each of NEEDS) await check(`moto: ${each.join(' ')}`, () => attempt(each));
  for (const each of REFUSED)
    await check(`moto refuses: ${each.join(' ')}`, () => attempt(each), /not authorized|Access ?Denied/i);
}

async function restoreObject(on: Moto): Promise<void> {
  const { s3 } = clientsOf(on);
  const { GetObjectCommand, DeleteObjectCommand, ListObjectVersionsCommand, PutObjectCommand } = await import(
    '@aws-sdk/client-s3'
  );
  const object = { Bucket: bucketOf('models'), Key: 'restored' };
  await s3.send(new PutObjectCommand({ ...object, Body: 'first' }));
  await s3.send(new PutObjectCommand({ ...object, Body: 'second' }));
  await s3.send(new DeleteObjectCommand(object));
  const { Versions: versions = [] } = await s3.send(
    new ListObjectVersionsCommand({ Bucket: object.Bucket, Prefix: object.Key }),
  );
  const bodies: string[] = [];
  for (const { VersionId } of versions) {
    const { Body } = await s3.send(new GetObjectCommand({ ...object, VersionId: VersionId as string }));
    bodies.push((await Body?.transformToString()) ?? '');
  }
  if (bodies.sort().join() !== 'first,second')
    throw new Error(`versions hold ${bodies.join() || 'nothing'}, not first,second`);
}

const moto = await startMoto(python);
try {
  await checkCode();
  const plans = await checkPlans(moto);
  await checkPolicies(plans);
  await checkRoles(moto, plans);
} finally {
  await moto.stop();
  await rm(folder, { recursive: true, force: true });
}
process.stdout.write('No cloud was called: schemas, plans, policies and an emulator.\n');
endChecks();
