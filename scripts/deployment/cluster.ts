import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assetPath, projectRoot } from '#kernel/project_root';
import { run } from '../services/install.ts';
import type { ApiServer } from './api_server.ts';

/** Makes what is there before anything is deployed: the definitions of operators, and the namespace, which says what it thinks of pods. */
export async function prepareCluster(kubectl: ApiServer['kubectl'], definitions: string): Promise<void> {
  await kubectl('apply', '--server-side', '-f', definitions);
  await kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s');
  await kubectl('apply', '--server-side', '-f', assetPath('k8s/base/namespace.yaml'));
}

/** Returns the manifests of a folder. @param folder - for the file that kustomize writes */
export async function builtBy(kustomize: string, path: string, folder: string): Promise<string> {
  const file = join(folder, 'built.yaml');
  await run(kustomize, ['build', path, '-o', file]);
  return readFile(file, 'utf8');
}

/** Returns the manifests of production with the component for KEDA. */
export async function builtWithKeda(kustomize: string, folder: string): Promise<string> {
  const own = await mkdtemp(join(projectRoot, 'k8s/overlays/.keda-'));
  try {
    await writeFile(
      join(own, 'kustomization.yaml'),
      'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../production]\ncomponents: [../../components/keda]\n',
    );
    return await builtBy(kustomize, own, folder);
  } finally {
    await rm(own, { recursive: true });
  }
}
