import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Document, isMap, parseAllDocuments } from 'yaml';
import { z } from 'zod';

// Overlays of Kubernetes from the outputs of Terraform: addresses, hosts, region and roles are those of the environment.

const arn = z.string().regex(/^arn:aws:/);
const overlaySchema = z.object({
  region: z.string().min(1),
  kafka_brokers: z.string().regex(/^[^,\s]+:\d+(?:,[^,\s]+:\d+)*$/, 'must be host:port, comma-separated'),
  kafka_secret: z.string().min(1),
  redis_host: z.string().min(1),
  redis_is_cluster: z.boolean(),
  database_host: z.string().min(1),
  domain: z.string().min(1),
  reports_bucket: z.string().min(1),
  on_call_topic: arn,
  role_arns: z.object({
    pipeline: arn,
    features: arn,
    serving: arn,
    monitor: arn,
    jobs: arn,
    alertmanager: arn,
    secrets: arn,
    mlflow: arn,
  }),
});
export type Overlay = z.infer<typeof overlaySchema>;

/**
 * Reads `tofu output -json`.
 *
 * @throws Error that names each field that is missing or wrong
 */
export function parseOutputs(json: string): Overlay {
  const { overlay } = JSON.parse(json) as { overlay?: { value?: unknown } };
  if (overlay?.value === undefined)
    throw new Error('the outputs have no "overlay": run tofu output -json in an environment of infra/aws');
  const parsed = overlaySchema.safeParse(overlay.value);
  if (!parsed.success) throw new Error(`output "overlay": ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** Kubernetes' service accounts that call AWS. Alertmanager's and MLflow's belong to what installs them. */
const ACCOUNTS = ['pipeline', 'features', 'serving', 'monitor', 'jobs'] as const;
const HOSTS = { gateway: 'ingest', features: 'features', serving: 'predict' } as const;
const ROLE = 'eks.amazonaws.com/role-arn';

/** Files of an overlay by name, each as YAML with its comments. */
export type OverlayFiles = Readonly<Record<'config.yaml' | 'secret_store.yaml' | 'ingress.yaml', string>>;

/**
 * Returns the files of an overlay for an environment: comments and everything that Terraform does not know stay.
 *
 * @throws Error when a file has no object of the kind that is changed
 */
export function overlayFiles(files: OverlayFiles, overlay: Overlay): Record<string, string> {
  return {
    'config.yaml': edit('config.yaml', files['config.yaml'], ([config]) => {
      const data: Record<string, string | undefined> = {
        KAFKA_BROKERS: overlay.kafka_brokers,
        KAFKA_TLS: 'true',
        KAFKA_SASL_MECHANISM: 'scram-sha-512',
        KAFKA_SASL_USERNAME: 'headwater',
        KAFKA_SASL_PASSWORD_FILE: '/run/secrets/headwater/KAFKA_SASL_PASSWORD',
        REDIS_HOST: overlay.redis_is_cluster ? undefined : overlay.redis_host,
        REDIS_CLUSTER: overlay.redis_is_cluster ? `${overlay.redis_host}:6379` : undefined,
        REDIS_TLS: 'true',
        DATABASE_HOST: overlay.database_host,
        MLFLOW_TRACKING_URI: `https://mlflow.${overlay.domain}`,
        REPORTS: `s3://${overlay.reports_bucket}`,
        AWS_REGION: overlay.region,
      };
      for (const [name, value] of Object.entries(data)) {
        if (value === undefined) config?.deleteIn(['data', name]);
        else config?.setIn(['data', name], value);
      }
    }),
    'secret_store.yaml': edit('secret_store.yaml', files['secret_store.yaml'], ([store, account]) => {
      store?.setIn(['spec', 'provider', 'aws', 'region'], overlay.region);
      account?.setIn(['metadata', 'annotations', ROLE], overlay.role_arns.secrets);
    }),
    'ingress.yaml': edit('ingress.yaml', files['ingress.yaml'], ([ingress]) => {
      const rules = ingress?.getIn(['spec', 'rules']) as {
        items: { set(key: string, value: string): void; getIn(path: unknown[]): unknown }[];
      };
      for (const rule of rules.items) {
        const service = rule.getIn(['http', 'paths', 0, 'backend', 'service', 'name']) as keyof typeof HOSTS;
        rule.set('host', `${HOSTS[service]}.${overlay.domain}`);
      }
      ingress?.setIn(
        ['spec', 'tls', 0, 'hosts'],
        Object.values(HOSTS).map((host) => `${host}.${overlay.domain}`),
      );
    }),
    'aws.yaml': awsPatch(overlay),
    'kafka_secret.yaml': kafkaSecretPatch(overlay),
  };
}

function edit(name: string, source: string, change: (documents: readonly Document[]) => void): string {
  const documents = parseAllDocuments(source) as Document[];
  if (documents.length === 0 || !documents.every(({ contents }) => isMap(contents)))
    throw new Error(`${name} has no object of Kubernetes`);
  change(documents);
  return documents
    .map((document) => document.toString({ lineWidth: 0, flowCollectionPadding: true, directives: false }))
    .join('---\n');
}

/** A strategic merge patch: roles of service accounts. */
const awsPatch = ({ role_arns: roles }: Overlay): string =>
  `# Written by npm run overlays: pods get the role of their service account.\n${ACCOUNTS.map(
    (name) =>
      `apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: ${name}\n  annotations:\n    ${ROLE}: ${roles[name]}\n`,
  ).join('---\n')}`;

/** A JSON patch of the ExternalSecret headwater-credentials: the password of Kafka's user. */
const kafkaSecretPatch = ({ kafka_secret: key }: Overlay): string =>
  `# Written by npm run overlays: MSK requires a secret with this name.\n- op: add\n  path: /spec/data/-\n  value: { secretKey: KAFKA_SASL_PASSWORD, remoteRef: { key: ${key}, property: password } }\n`;

/** Patches that the overlay's kustomization.yaml must name. */
const PATCHES = [
  { path: 'aws.yaml' },
  { path: 'kafka_secret.yaml', target: { kind: 'ExternalSecret', name: 'headwater-credentials' } },
] as const;

interface Kustomization {
  readonly patches?: readonly { readonly path?: string }[];
}

/** Returns kustomization.yaml with the patches that `overlayFiles` writes; twice gives the same. */
export function withPatches(kustomization: string): string {
  return edit('kustomization.yaml', kustomization, ([document]) => {
    const patches = (document?.toJS() as Kustomization | undefined)?.patches ?? [];
    for (const patch of PATCHES) {
      if (!patches.some(({ path }) => path === patch.path))
        document?.addIn(['patches'], document.createNode(patch, { flow: true }));
    }
  });
}

/** Writes the files of an overlay. @returns their names */
export async function writeOverlay(folder: string, overlay: Overlay): Promise<readonly string[]> {
  const read = (name: string): Promise<string> => readFile(join(folder, name), 'utf8');
  const written: Record<string, string> = {
    ...overlayFiles(
      {
        'config.yaml': await read('config.yaml'),
        'secret_store.yaml': await read('secret_store.yaml'),
        'ingress.yaml': await read('ingress.yaml'),
      },
      overlay,
    ),
    'kustomization.yaml': withPatches(await read('kustomization.yaml')),
  };
  for (const [name, text] of Object.entries(written)) await writeFile(join(folder, name), text);
  return Object.keys(written);
}
