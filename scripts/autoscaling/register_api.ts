import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ApiServer } from '../deployment/api_server.ts';

export interface ApiBehind {
  readonly group: string;
  readonly version: string;
  readonly namespace: string;
  /** Name of the Service. */
  readonly service: string;
  /** On this machine. */
  readonly port: number;
}

/** Registers an API of a process on this machine: requests for it come through the API server. */
export async function registerApi({ kubectl }: ApiServer, folder: string, behind: ApiBehind): Promise<void> {
  const { group, version, namespace, service, port } = behind;
  const named = { name: service, namespace };
  const items = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    {
      ...{ apiVersion: 'v1', kind: 'Service', metadata: named },
      spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ port }] },
    },
    {
      ...{ apiVersion: 'apiregistration.k8s.io/v1', kind: 'APIService', metadata: { name: `${version}.${group}` } },
      spec: {
        ...{ group, version, groupPriorityMinimum: 100, versionPriority: 100 },
        ...{ service: { ...named, port }, insecureSkipTLSVerify: true },
      },
    },
  ];
  const file = join(folder, `${service}.json`);
  await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  await kubectl('apply', '-f', file);
}
