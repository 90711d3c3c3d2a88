import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { ApiServer } from './api_server.ts';
import { type Controllers, startControllers } from './control_plane.ts';

/** A pod of a Job ends well once it has this annotation. */
export const ENDS = 'headwater.dev/ends';

interface Stage {
  readonly spec: { readonly selector: { readonly matchExpressions: object[] } };
}

/**
 * Starts what acts on the objects of an API server: controllers, the scheduler, and nodes whose kubelet kwok plays. Pods are scheduled, become ready and
 * end, and run no code.
 *
 * @param folder - of the API server
 * @param binaries - with kube-controller-manager and kube-scheduler
 * @param names - of the nodes: 4 cores and 16 GiB each
 * @param managerArgs - of kube-controller-manager
 */
export async function startNodes(
  api: ApiServer,
  folder: string,
  binaries: string,
  kwok: { readonly binary: string; readonly stages: string },
  names: readonly string[],
  managerArgs: readonly string[] = [],
): Promise<Controllers> {
  const stages = join(folder, 'stages.yaml');
  await writeFile(stages, await stagesOf(kwok.stages));
  const controllers = await startControllers(api, folder, binaries, managerArgs);
  try {
    await controllers.start('kwok', kwok.binary, (port) => [
      ...['--manage-all-nodes=true', `--config=${stages}`, `--server-address=127.0.0.1:${port}`],
    ]);
    const resources = { cpu: '4', memory: '16Gi', pods: '110' };
    const nodes = names.map((name) => ({
      ...{ apiVersion: 'v1', kind: 'Node', metadata: { name } },
      status: { allocatable: resources, capacity: resources },
    }));
    const file = join(folder, 'nodes.json');
    await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: nodes }));
    await api.kubectl('create', '-f', file);
    await api.kubectl('wait', '--for=condition=Ready', ...names.map((name) => `node/${name}`), '--timeout=60s');
  } catch (error) {
    await controllers.stop();
    throw error;
  }
  return controllers;
}

/** Returns kwok's own stages, except that the pod of a Job runs until it has the annotation {@link ENDS}. */
async function stagesOf(folder: string): Promise<string> {
  const read = (path: string): Promise<string> => readFile(join(folder, path), 'utf8');
  const complete = parse(await read('pod/fast/pod-complete.yaml')) as Stage;
  complete.spec.selector.matchExpressions.push({
    ...{ key: `.metadata.annotations["${ENDS}"]`, operator: 'In', values: ['true'] },
  });
  const others = [
    ...['node/fast/node-initialize.yaml', 'node/heartbeat-with-lease/node-heartbeat-with-lease.yaml'],
    ...['pod/fast/pod-ready.yaml', 'pod/fast/pod-delete.yaml'],
  ];
  return [...(await Promise.all(others.map(read))), stringify(complete)].join('\n---\n');
}
