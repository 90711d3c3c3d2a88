import { copyFile, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { globSync } from 'tinyglobby';
import { assetPath, projectRoot } from '#kernel/project_root';
import { cacheFolder, once, run } from '#scripts/services/install';
import { providerSchemaOf, schemasOf } from './schemas.ts';

// What checks infra/, built or fetched once from package registries: OpenTofu by Go's proxy, schemas of providers from npm, checkov, parliament and moto
// from PyPI. The providers themselves are released outside of registries of packages, so one that knows their schemas takes their place.

const OPENTOFU = '1.12.6';
const PYTHON = ['checkov==3.3.30', 'parliament==1.6.4', 'moto[server,s3,iam,sts,dynamodb,sns]==5.2.5'];
export const ACCOUNT = '111122223333';

const toolFolder = (name: string): string => join(cacheFolder, 'terraform', name);

const OPENTOFU_MODULE = `module headwater.local/tofu

go 1.26

require github.com/opentofu/opentofu v${OPENTOFU}

replace github.com/hashicorp/hcl/v2 v2.20.1 => github.com/opentofu/hcl/v2 v2.20.2-0.20251021132045-587d123c2828
`;

/** OpenTofu: about ten minutes on two cores, once. @returns its path */
export async function tofuBinary(): Promise<string> {
  const folder = toolFolder(`opentofu-${OPENTOFU}`);
  const binary = join(folder, 'tofu');
  await once(folder, `building OpenTofu ${OPENTOFU}, which takes minutes`, async () => {
    await writeFile(join(folder, 'go.mod'), OPENTOFU_MODULE);
    await run(
      'nice',
      ['-n', '15', 'go', 'build', '-p', '2', '-trimpath', '-o', binary, 'github.com/opentofu/opentofu/cmd/tofu'],
      {
        ...{ cwd: folder, env: { CGO_ENABLED: '0', GOFLAGS: '-mod=mod -buildvcs=false' } },
      },
    );
  });
  return binary;
}

/** checkov, parliament and moto. @returns the folder of their commands */
export async function pythonTools(): Promise<string> {
  const folder = toolFolder('python');
  await once(folder, 'installing checkov, parliament and moto', async () => {
    await run('python3', ['-m', 'venv', folder]);
    await run(join(folder, 'bin/pip'), ['install', '-q', '--disable-pip-version-check', ...PYTHON]);
  });
  return join(folder, 'bin');
}

interface ProviderSource {
  readonly address: string;
  readonly version: string;
  readonly npm: string;
  /** What the cloud computes and policies must see, by type and attribute; {name} is the value of the attribute `name`. */
  readonly answers: Record<string, Record<string, unknown>>;
}

const ISSUER = 'oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE';
const PROVIDERS: Readonly<Record<string, ProviderSource>> = {
  aws: {
    address: 'hashicorp/aws',
    version: '6.66.0',
    npm: '@cdktn/provider-aws@25.7.0',
    answers: {
      aws_caller_identity: { account_id: ACCOUNT },
      aws_eks_cluster: {
        identity: [{ oidc: [{ issuer: `https://${ISSUER}` }] }],
        arn: `arn:aws:eks:eu-central-1:${ACCOUNT}:cluster/{name}`,
      },
      aws_iam_openid_connect_provider: { arn: `arn:aws:iam::${ACCOUNT}:oidc-provider/{url}` },
      aws_iam_role: { id: '{name}', arn: `arn:aws:iam::${ACCOUNT}:role/{name}` },
      aws_kms_key: { arn: `arn:aws:kms:eu-central-1:${ACCOUNT}:key/00000000-0000-0000-0000-000000000000` },
      aws_s3_bucket: { id: '{bucket}', arn: 'arn:aws:s3:::{bucket}' },
      aws_sns_topic: { arn: `arn:aws:sns:eu-central-1:${ACCOUNT}:{name}` },
    },
  },
  google: { address: 'hashicorp/google', version: '6.50.0', npm: '@cdktf/provider-google@16.12.1', answers: {} },
  github: { address: 'integrations/github', version: '6.9.0', npm: '@cdktf/provider-github@15.3.1', answers: {} },
};

/** The unpacked `lib` of a package, without its dependencies. */
async function npmLibrary(spec: string): Promise<string> {
  const folder = toolFolder(`npm-${spec.replaceAll(/[^\w.]+/g, '-')}`);
  await once(folder, `fetching ${spec}`, async () => {
    await run('sh', ['-c', `npm pack --silent "${spec}" && tar xzf ./*.tgz && rm ./*.tgz`], { cwd: folder });
  });
  return join(folder, 'package/lib');
}

async function schemaProviderBinary(): Promise<string> {
  const sources = assetPath('scripts/terraform/provider');
  const folder = toolFolder('schema-provider');
  const binary = join(folder, 'schema-provider');
  await mkdir(folder, { recursive: true });
  // Go's cache makes this quick when nothing has changed.
  await cp(sources, join(folder, 'sources'), { recursive: true, force: true });
  await run('go', ['build', '-buildvcs=false', '-trimpath', '-o', binary, '.'], {
    ...{ cwd: join(folder, 'sources'), env: { CGO_ENABLED: '0' } },
  });
  return binary;
}

/**
 * Writes a mirror of providers that know the schemas of what infra/ uses.
 *
 * @returns the path of a CLI configuration that names the mirror
 */
export async function providerMirror(folder: string): Promise<string> {
  const types = new Set<string>();
  for (const path of globSync('infra/**/*.tf', { cwd: projectRoot })) {
    const source = await readFile(assetPath(path), 'utf8');
    for (const [, kind, type] of source.matchAll(/^(resource|data) "(\w+)"/gm)) types.add(`${kind} ${type}`);
  }
  const binary = await schemaProviderBinary();
  const mirror = join(folder, 'mirror');
  for (const [name, { address, version, npm, answers }] of Object.entries(PROVIDERS)) {
    const library = await npmLibrary(npm);
    const used = (kind: string): string[] =>
      [...types].filter((type) => type.startsWith(`${kind} ${name}_`)).map((type) => type.split(' ')[1] as string);
    const place = join(
      mirror,
      'registry.opentofu.org',
      address,
      version,
      `linux_${process.arch === 'arm64' ? 'arm64' : 'amd64'}`,
    );
    await mkdir(place, { recursive: true });
    await copyFile(binary, join(place, `terraform-provider-${name}_v${version}`));
    const schemas = {
      Provider: providerSchemaOf(library),
      Resources: schemasOf(library, used('resource'), ''),
      DataSources: schemasOf(library, used('data'), 'data-'),
      Answers: answers,
    };
    await writeFile(join(place, 'schema.json'), JSON.stringify(schemas));
  }
  const configuration = join(folder, 'tofu.rc');
  await writeFile(
    configuration,
    `provider_installation {\n  filesystem_mirror {\n    path = ${JSON.stringify(mirror)}\n  }\n}\n`,
  );
  return configuration;
}
