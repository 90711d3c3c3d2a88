import { parseAllDocuments } from 'yaml';

// Of rendered manifests, what a kubelet and the controllers of workloads read.

export interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
  readonly periodSeconds?: number;
  readonly timeoutSeconds?: number;
  readonly failureThreshold?: number;
}

interface KeyRef {
  readonly name: string;
  readonly key: string;
  readonly optional?: boolean;
}

export interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly env?: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: { readonly secretKeyRef: KeyRef };
  }[];
  readonly envFrom?: readonly { readonly configMapRef: { readonly name: string } }[];
  readonly startupProbe: Probe;
  readonly readinessProbe: Probe;
  readonly livenessProbe: Probe;
  readonly lifecycle: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

interface Volume {
  readonly name: string;
  readonly emptyDir?: object;
  readonly secret?: { readonly secretName: string; readonly optional?: boolean };
  readonly persistentVolumeClaim?: { readonly claimName: string };
  readonly projected?: object;
}

export interface Workload {
  readonly kind: 'Deployment' | 'StatefulSet';
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly replicas?: number;
    readonly template: {
      readonly spec: {
        readonly containers: readonly [Container];
        readonly volumes: readonly Volume[];
        readonly terminationGracePeriodSeconds: number;
      };
    };
    readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[];
  };
}

type Data = Readonly<Record<string, string>>;

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Data;
  readonly spec: {
    readonly minReplicas: number;
    readonly scaleTargetRef: { readonly name: string };
    readonly target: { readonly name: string };
    readonly data: readonly {
      readonly secretKey: string;
      readonly remoteRef: { readonly key: string; readonly property: string };
    }[];
    readonly ports: readonly { readonly port: number }[];
  };
}

/** What a cluster has of manifests, and what its operators make of them. */
export interface Cluster {
  readonly workloads: readonly Workload[];
  readonly configMaps: ReadonlyMap<string, Data>;
  readonly secrets: ReadonlyMap<string, Data>;
  /** Ports of Services by name. */
  readonly services: ReadonlyMap<string, number>;
  /** Pods of a workload: those that its autoscaler has at least. */
  readonly replicas: ReadonlyMap<string, number>;
}

/**
 * Reads rendered manifests.
 *
 * @param store - the secret store that ExternalSecrets are made from: values by `key/property`
 * @throws where an ExternalSecret names a value that the store lacks
 */
export function readCluster(rendered: string, store: Data): Cluster {
  const objects = parseAllDocuments(rendered).map((document) => document.toJS() as Manifest);
  const ofKind = (kind: string): readonly Manifest[] => objects.filter((object) => object.kind === kind);
  const secretAt = (key: string): string => {
    const value = store[key];
    if (value === undefined) throw new Error(`the secret store has no ${key}`);
    return value;
  };
  return {
    workloads: objects.filter(({ kind }) => /^(Deployment|StatefulSet)$/.test(kind)).filter(isOurs) as never,
    configMaps: new Map(ofKind('ConfigMap').map(({ metadata, data = {} }) => [metadata.name, data])),
    secrets: new Map(
      ofKind('ExternalSecret').map(({ spec }) => [
        spec.target.name,
        Object.fromEntries(
          spec.data.map(({ secretKey, remoteRef: { key, property } }) => [secretKey, secretAt(`${key}/${property}`)]),
        ),
      ]),
    ),
    services: new Map(ofKind('Service').map(({ metadata, spec }) => [metadata.name, spec.ports[0]?.port ?? 0])),
    replicas: new Map(
      ofKind('HorizontalPodAutoscaler').map(({ spec }) => [spec.scaleTargetRef.name, spec.minReplicas]),
    ),
  };
}

/** Monitoring has workloads of other images. */
function isOurs(object: Manifest): boolean {
  const { containers } = (object as unknown as Workload).spec.template.spec;
  return (containers[0] as { readonly name?: string }).name === 'headwater';
}
