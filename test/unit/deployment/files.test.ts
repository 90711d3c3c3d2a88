import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { parse, parseAllDocuments } from 'yaml';
import { assetPath } from '#kernel/project_root';
import { prometheusRule } from '#monitoring/prometheus/prometheus_rule';

// What can be said of deployment files without the tools that read them; with them: npm run check:deployment.

interface Service {
  readonly image?: string;
  readonly build?: string;
  readonly ports?: readonly string[];
  readonly healthcheck?: object;
  readonly deploy?: { readonly resources: { readonly limits: { readonly cpus: string; readonly memory: string } } };
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
}
const read = (path: string): unknown => parse(readFileSync(assetPath(path), 'utf8'), { merge: true });
const { services } = read('docker-compose.yml') as { services: Readonly<Record<string, Service>> };
const ROLES = ['gateway', 'pipeline', 'features', 'serving', 'monitor'];

test('compose brings up everything; each with limits and a health check, no port twice', () => {
  expect(Object.keys(services)).toEqual(
    expect.arrayContaining([
      ...ROLES,
      ...[
        'kafka',
        'pubsub',
        'kinesis',
        'redis',
        'postgres',
        'mlflow',
        'minio',
        'prometheus',
        'grafana',
        'alertmanager',
        'flink',
        'aws',
      ],
    ]),
  );
  const ports: string[] = [];
  for (const [name, service] of Object.entries(services)) {
    expect([name, service.deploy?.resources.limits]).toEqual([
      name,
      { cpus: expect.any(String), memory: expect.any(String) },
    ]);
    // The image brings that of the roles along.
    const hasHealth = service.healthcheck !== undefined || service.build !== undefined;
    expect([name, hasHealth]).toEqual([name, true]);
    expect([name, /:latest$/.test(service.image ?? '') && service.build === undefined]).toEqual([name, false]);
    for (const port of service.ports ?? [])
      ports.push(/(\d+):\d+$/.exec(port.replaceAll(/\$\{\w+:-([\d.]+)\}/g, '$1'))?.[1] ?? port);
  }
  expect(new Set(ports).size).toBe(ports.length);
  for (const role of ROLES) expect(services[role]).toMatchObject({ read_only: true, cap_drop: ['ALL'] });
});

const COMPOSE_FILES = ['docker-compose.yml', 'docker-compose.dev.yml', 'docker-compose.prod.yml'];

test.each(COMPOSE_FILES)('%s: ports are those of this machine alone, unless an address is given', (file) => {
  const text = readFileSync(assetPath(file), 'utf8').replaceAll(/!(reset|override) /g, '');
  const { services: all } = parse(text, { merge: true }) as { services: Readonly<Record<string, Service>> };
  for (const [name, { ports }] of Object.entries(all)) {
    for (const port of ports ?? []) {
      expect([name, port]).toEqual([
        name,
        expect.stringMatching(/^(127\.0\.0\.1|\$\{PUBLISH_ADDRESS:-127\.0\.0\.1\}):/),
      ]);
    }
  }
});

test.each(COMPOSE_FILES)('%s: no password or key to fall back on', (file) => {
  const defaults = readFileSync(assetPath(file), 'utf8').matchAll(
    /\$\{(\w*(?:PASSWORD|KEYS?|TOKEN|SECRET))\b:?-([^}]*)\}/g,
  );
  expect([...defaults].filter(([, , value]) => value !== '').map(([all]) => all)).toEqual([]);
});

test('passwords that Compose needs are required, and .env.example leaves them empty', () => {
  const { secrets, 'x-required': required } = read('docker-compose.yml') as {
    secrets: Readonly<Record<string, { readonly environment: string }>>;
    'x-required': readonly string[];
  };
  const example = new Map(
    readFileSync(assetPath('.env.example'), 'utf8')
      .split('\n')
      .filter((line) => /^\w+=/.test(line))
      .map((line) => line.split(/=(.*)/) as [string, string]),
  );
  for (const { environment } of Object.values(secrets)) expect([...example.keys()]).toContain(environment);
  const empty = [...example].filter(([, value]) => value === '').map(([name]) => name);
  const listed = required.map((each) => /^\$\{(\w+):\?/.exec(each)?.[1]);
  expect([...listed, 'ACCESS_API_KEYS'].sort()).toEqual(empty.sort());
});

test('the development file: every role runs the sources again as they change, with a health check', () => {
  const text = readFileSync(assetPath('docker-compose.dev.yml'), 'utf8').replaceAll('!reset ', '');
  const { services: live } = parse(text, { merge: true }) as {
    services: Readonly<Record<string, Service & { readonly entrypoint?: readonly string[] }>>;
  };
  for (const role of ROLES) {
    expect([role, live[role]?.entrypoint, live[role]?.healthcheck]).toEqual([
      role,
      ['node', '--watch-path=dist', 'dist/cli/headwater.js'],
      expect.objectContaining({ test: expect.any(Array) }),
    ]);
  }
  expect(live.compile).toMatchObject({ healthcheck: expect.any(Object), deploy: expect.any(Object) });
});

test('the image copies what is there, and is not root', () => {
  const dockerfile = readFileSync(assetPath('Dockerfile'), 'utf8');
  for (const [, path] of dockerfile.matchAll(/COPY --from=build (?:--chown=\S+ )?\/app\/(\S+)/g)) {
    if (path !== '.empty') expect([path, existsSync(assetPath(path as string))]).toEqual([path, true]);
  }
  expect(dockerfile).toMatch(/^USER 1000$/m);
  expect(dockerfile).toMatch(/^STOPSIGNAL SIGTERM$/m);
  expect(dockerfile).toMatch(/^HEALTHCHECK .*CMD/m);
});

test('every alert that compose has is in the cluster too', () => {
  const files = ['recording.yml', 'alerts.yml'].map((name) =>
    readFileSync(assetPath(`monitoring/prometheus/rules/${name}`), 'utf8'),
  );
  expect(readFileSync(assetPath('monitoring/prometheus/prometheus_rule.yaml'), 'utf8')).toBe(prometheusRule(files));
  const kustomization = read('monitoring/kustomization.yaml') as {
    configMapGenerator: { name: string; files: string[] }[];
  };
  const listed = kustomization.configMapGenerator.find(({ name }) => name === 'grafana-dashboards')?.files;
  const dashboards = readdirSync(assetPath('monitoring/grafana/dashboards')).map(
    (name) => `grafana/dashboards/${name}`,
  );
  expect([...(listed ?? [])].sort()).toEqual(dashboards.sort());
});

test('roles in the cluster: their selectors, and nobody who is not denied by default', () => {
  interface Manifest {
    readonly kind: string;
    readonly metadata: { readonly name: string };
    readonly spec: {
      readonly podSelector?: object;
      readonly selector: { readonly matchLabels: Record<string, string> };
      readonly template: { readonly metadata: { readonly labels: Record<string, string> } };
    };
  }
  const manifests = (path: string): readonly Manifest[] =>
    parseAllDocuments(readFileSync(assetPath(path), 'utf8')).map((document) => document.toJS() as Manifest);
  for (const role of ROLES) {
    const workload = manifests(`k8s/base/roles/${role}.yaml`).find(({ kind }) => /Deployment|StatefulSet/.test(kind));
    const { selector, template } = (workload as Manifest).spec;
    expect(template.metadata.labels).toMatchObject(selector.matchLabels);
    expect(template.metadata.labels.app).toBe(
      ['pipeline', 'monitor'].includes(role) ? 'ml-pipeline' : 'ml-pipeline-api',
    );
  }
  const [first] = manifests('k8s/base/network.yaml');
  expect(first).toMatchObject({
    metadata: { name: 'default-deny' },
    spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] },
  });
});

test('what the gateway has acknowledged is on a volume that outlives it', () => {
  const documents = parseAllDocuments(readFileSync(assetPath('k8s/base/roles/gateway.yaml'), 'utf8')).map(
    (document) => document.toJS() as { kind: string; spec: Record<string, unknown> },
  );
  const workload = documents.find(({ kind }) => kind === 'StatefulSet' || kind === 'Deployment');
  expect(workload).toMatchObject({
    kind: 'StatefulSet',
    spec: {
      persistentVolumeClaimRetentionPolicy: { whenScaled: 'Retain', whenDeleted: 'Retain' },
      volumeClaimTemplates: [{ metadata: { name: 'data' } }],
    },
  });
  expect(JSON.stringify(workload)).not.toContain('emptyDir');
  const scaler = documents.find(({ kind }) => kind === 'HorizontalPodAutoscaler');
  expect(scaler).toMatchObject({ spec: { scaleTargetRef: { kind: 'StatefulSet', name: 'gateway' } } });
  const { volumes } = read('docker-compose.yml') as { volumes: Readonly<Record<string, unknown>> };
  const mounts = (services.gateway as { volumes?: readonly string[] }).volumes;
  expect(mounts).toContain('gateway:/data');
  expect(volumes).toHaveProperty('gateway');
});

test('what npm test leaves out runs each night: long forms, and every kind of chaos and soak', () => {
  const { scripts } = JSON.parse(readFileSync(assetPath('package.json'), 'utf8')) as {
    scripts: Readonly<Record<string, string>>;
  };
  const { jobs } = read('.github/workflows/nightly.yml') as {
    jobs: { slow: { strategy: { matrix: { command: readonly string[] } } } };
  };
  const nightly = jobs.slow.strategy.matrix.command;
  const usual = ['test:unit', 'test:conformance', 'test:integration', 'test:e2e', 'test:all'];
  const left = Object.keys(scripts).filter((name) => name.startsWith('test:') && !usual.includes(name));
  const kinds = [
    ...['engine', 'engine-threads', 'features', 'platform'].map((kind) => `test:chaos -- ${kind}`),
    ...['engine', 'slow-sink', 'platform'].map((kind) => `test:soak -- ${kind}`),
  ];
  const missing = [...left, ...kinds].filter(
    (name) => !nightly.some((command) => command.startsWith(`npm run ${name}`)),
  );
  expect(missing).toEqual([]);
});

interface Rollout {
  readonly uses?: string;
  readonly needs?: string | readonly string[];
  readonly with?: { readonly environment?: string; readonly only?: string };
}
const jobsOf = (name: string): Readonly<Record<string, Rollout>> =>
  (read(`.github/workflows/${name}.yml`) as { jobs: Readonly<Record<string, Rollout>> }).jobs;

test('production is rolled out after staging, in an environment that requires an approval; workflows go a way of their own', () => {
  const rollout = read('.github/workflows/rollout.yml') as { jobs: { rollout: { environment: string } } };
  expect(rollout.jobs.rollout.environment).toMatch(/^\$\{\{ inputs\.environment \}\}$/);
  for (const [name, only] of [
    ['release', undefined],
    ['workflows', 'deployment/workflows'],
  ] as const) {
    const { test: tested, image, staging, production } = jobsOf(name);
    expect([name, tested !== undefined, image?.needs]).toEqual([name, true, 'test']);
    expect(staging).toMatchObject({ needs: 'image', with: { environment: 'staging' } });
    expect(production).toMatchObject({ needs: ['image', 'staging'], with: { environment: 'production' } });
    for (const job of [staging, production]) {
      expect(job?.uses).toBe('./.github/workflows/rollout.yml');
      expect([name, job?.with?.only]).toEqual([name, only]);
    }
  }
  const { on } = read('.github/workflows/workflows.yml') as { on: { push: { paths: readonly string[] } } };
  expect(on.push.paths).toEqual(expect.arrayContaining(['workflows/**', 'examples/*/workflows/**']));
});

test('a rollout waits for every workload, by its kind', () => {
  expect(readFileSync(assetPath('.github/workflows/rollout.yml'), 'utf8')).toContain('k8s/deploy.sh');
  const waited = /workloads=\(([^)]+)\)/
    .exec(readFileSync(assetPath('k8s/deploy.sh'), 'utf8'))?.[1]
    ?.split(' ')
    .sort();
  const known = readdirSync(assetPath('k8s/base/roles')).map((file) => {
    const documents = parseAllDocuments(readFileSync(assetPath(`k8s/base/roles/${file}`), 'utf8'));
    const { kind, metadata } = documents
      .map((document) => document.toJS() as { kind: string; metadata: { name: string } })
      .find((each) => /^(Deployment|StatefulSet)$/.test(each.kind)) as { kind: string; metadata: { name: string } };
    return `${kind.toLowerCase()}/${metadata.name}`;
  });
  expect(waited).toEqual(known.sort());
});

test('workers of workflows scale on how long steps wait, by either autoscaler, and the monitor leaves steps to them', () => {
  const all = (path: string) =>
    parseAllDocuments(readFileSync(assetPath(path), 'utf8')).map(
      (document) => document.toJS() as { kind: string; metadata: { name: string }; spec: Record<string, unknown> },
    );
  const scaler = all('k8s/base/roles/workflows.yaml').find(({ kind }) => kind === 'HorizontalPodAutoscaler');
  expect(scaler?.spec).toMatchObject({
    scaleTargetRef: { kind: 'Deployment', name: 'workflows' },
    metrics: expect.arrayContaining([
      { type: 'Pods', pods: expect.objectContaining({ metric: { name: 'workflow_due_age_seconds' } }) },
    ]),
  });
  const keda = all('k8s/components/keda/scaled_objects.yaml').find(({ metadata }) => metadata.name === 'workflows');
  expect(JSON.stringify(keda?.spec)).toContain('workflow_due_age_seconds');
  const monitor = all('k8s/base/roles/monitor.yaml').find(({ kind }) => kind === 'StatefulSet');
  expect(JSON.stringify(monitor)).toContain('{"name":"WORKFLOWS_CONCURRENCY","value":"0"}');
});
