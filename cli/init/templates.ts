/** Projects that `headwater init` begins with. */
export const TEMPLATES = ['minimal', 'fraud', 'activity', 'market'] as const;
export type Template = (typeof TEMPLATES)[number];

/** Where a project may be deployed to. */
export const DEPLOYMENTS = ['k8s', 'compose'] as const;
export type Deployment = (typeof DEPLOYMENTS)[number];

export interface ProjectFacts {
  readonly name: string;
  readonly template: Template;
  /** Of this package, which the base image has too. */
  readonly version: string;
  /** What package.json depends on: a version, or a tarball's path. */
  readonly headwater: string;
  readonly zod: string;
  readonly pubsub: string;
  readonly typescript: string;
  readonly nodeTypes: string;
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

export const DOCKERIGNORE = 'node_modules/\n.headwater/\n.git/\n.env\nk8s/\nmonitoring/\n';

/** Returns the Dockerfile of a project: a layer on the base image, whose entry point runs every role. */
export const dockerfileOf = ({ name, version }: Pick<ProjectFacts, 'name' | 'version'>): string =>
  `# The project on the base image, which has all of headwater: docker build -t ${name} .
# docker run -e ACCESS_API_KEYS=KEY -p 8080:8080 -p 8083:8083 -p 8000:8000 ${name}; one role alone: ${name} start --role gateway
# In production by digest: --build-arg BASE_IMAGE=registry.example.com/headwater@sha256:…
ARG BASE_IMAGE=headwater:${version}
ARG NODE_IMAGE=node:24-slim

# Packages of the project's own, in the versions of package-lock.json; headwater and what it needs are in the base image.
FROM \${NODE_IMAGE} AS packages
WORKDIR /project
COPY package*.json .npmrc ./
RUN npm pkg delete dependencies.headwater && npm install --omit=dev && mkdir -p node_modules

FROM \${BASE_IMAGE}
WORKDIR /project
COPY --from=packages /project/node_modules node_modules
COPY . .
`;

/** Returns the files that every project has, by path. */
export const commonFiles = (facts: ProjectFacts): Readonly<Record<string, string>> => ({
  'package.json': json({
    name: facts.name,
    version: '0.1.0',
    private: true,
    type: 'module',
    engines: { node: '>=20.19' },
    scripts: {
      dev: 'headwater dev',
      start: 'headwater start',
      test: 'headwater test',
      plan: 'headwater plan',
      apply: 'headwater apply',
      types: 'tsc --noEmit',
    },
    dependencies: { headwater: facts.headwater, zod: facts.zod },
    devDependencies: { '@types/node': facts.nodeTypes, typescript: facts.typescript },
    // One version of Google's client, and no download of CUDA, which serving on CPUs does not use.
    overrides: { 'apache-beam': { '@google-cloud/pubsub': facts.pubsub } },
    allowScripts: { 'onnxruntime-node': false },
  }),
  '.npmrc': 'onnxruntime-node-install=skip\n',
  '.gitignore': 'node_modules/\n.headwater/\n.env\n',
  '.dockerignore': DOCKERIGNORE,
  'tsconfig.json': json({
    compilerOptions: {
      ...{ target: 'es2023', module: 'nodenext', strict: true, noEmit: true, skipLibCheck: true },
      ...{ allowImportingTsExtensions: true, verbatimModuleSyntax: true, erasableSyntaxOnly: true },
      types: ['node'],
    },
    include: ['headwater.config.ts', 'features', 'models', 'pipelines', 'scripts', 'workflows', 'test'],
  }),
  'headwater.config.ts': `import { defineConfig } from 'headwater';

/** Definitions are found in features/ and models/, pipelines in pipelines/, settings in configs/. */
export default defineConfig();
`,
  'configs/default.yaml': `# Settings of every environment, laid over those of the package; configs/<ENVIRONMENT>.yaml is laid over these.
# \`npx headwater config\` shows all of them with their values here.
log:
  level: info
`,
  Dockerfile: dockerfileOf(facts),
  '.github/workflows/ci.yml': `name: ci
on: [push, pull_request]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
        with: { fetch-depth: 0 }
      - uses: actions/setup-node@v5
        with: { node-version: 24, cache: npm }
      - run: npm ci
      - run: npm run types
      - run: npm test
      - run: npx headwater features validate
      # Definitions that break a model in use fail the pull request.
      - if: github.event_name == 'pull_request'
        run: npx headwater check --against origin/\${{ github.base_ref }}
`,
});

/** Returns the files of the template that shows the parts and nothing more. */
export const minimalFiles = (): Readonly<Record<string, string>> => ({
  'features/purchases.ts': `import { count, entity, featureView, field, source, sum } from 'headwater/features';
import { z } from 'zod';

export const customer = entity('customer', ['customer_id']);

/** What is posted to /ingest as \`event_type: purchase\`. */
export const purchases = source('purchases', {
  schema: z.strictObject({
    purchase_id: z.string(),
    customer_id: z.string(),
    amount: z.number().nonnegative(),
    at: z.string(),
  }),
  type: 'purchase',
  id: 'purchase_id',
  timestamp: 'at',
  key: 'customer_id',
});

export const spending = featureView({
  name: 'spending',
  version: 1,
  entity: customer,
  source: purchases,
  ttl: '30d',
  owner: 'growth',
  description: 'What a customer has spent lately',
  features: {
    last_amount: field('amount', 'double', 'Amount of the newest purchase'),
    ...count({ as: 'purchases' }).over('1h', '24h'),
    ...sum('amount', { as: 'spent' }).over('24h', '7d'),
  },
});
`,
  'test/purchases.test.ts': `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FeatureTest } from 'headwater/testing';
import { spending } from '../features/purchases.ts';

test('purchases count in their windows', () => {
  const features = new FeatureTest([spending], { now: '2026-01-05T12:00:00Z' });
  features.ingest({ event_type: 'purchase', purchase_id: 'p1', customer_id: 'c1', amount: 20, at: features.now });
  features.advance('30m');
  features.ingest({ event_type: 'purchase', purchase_id: 'p2', customer_id: 'c1', amount: 5, at: features.now });
  const row = features.row(spending, { customer_id: 'c1' });
  assert.equal(row?.purchases_1h, 2);
  assert.equal(row?.spent_24h, 25);
  features.advance('45m');
  assert.equal(features.row(spending, { customer_id: 'c1' })?.purchases_1h, 1);
});
`,
  'models/README.md': `# Models

A module here exports what \`defineModel\` returns: the features, how it is trained, what a version must fulfil. \`headwater models train NAME\` trains it.
`,
  'pipelines/README.md': `# Pipelines

A module here exports a pipeline as its default: \`headwater pipelines run NAME\` runs it, here or with --runner on Flink.
`,
});

const EVENTS: Readonly<Record<Template, string>> = {
  minimal:
    '{"event_type": "purchase", "purchase_id": "p1", "customer_id": "c1", "amount": 20, "at": "\'$(date -u +%FT%TZ)\'"}',
  fraud:
    '{"event_id": "e1", "user_id": "u1", "event_type": "transaction", "timestamp": "\'$(date -u +%FT%TZ)\'", "account_id": "a1", "amount": 120.5, "currency": "EUR", "merchant_id": "m7", "merchant_category": "electronics", "country": "DE"}',
  activity:
    '{"event_id": "e1", "user_id": "u1", "event_type": "click", "device_type": "mobile", "timestamp": "\'$(date -u +%FT%TZ)\'"}',
  market:
    '{"event_id": "e1", "event_type": "daily_bar", "timestamp": "\'$(date -u +%FT%TZ)\'", "symbol": "AMZN", "open": 100, "high": 104, "low": 99, "close": 103, "volume": 1000}',
};
const ENTITY: Readonly<Record<Template, string>> = { minimal: 'c1', fraud: 'a1', activity: 'u1', market: 'AMZN' };

/** Returns the README of a project. */
export const readmeOf = ({ name, template }: ProjectFacts): string => `# ${name}

\`\`\`bash
npm install
npm run dev        # starts everything in one process and reloads definitions when a file changes
\`\`\`

Post an event, and read what was computed of it:

\`\`\`bash
curl -s localhost:8080/ingest -H 'content-type: application/json' -d '${EVENTS[template]}'
curl -s localhost:8083/features/${ENTITY[template]}
${template === 'fraud' ? `curl -s localhost:8000/predict -H 'content-type: application/json' -d '{"entity_id": "${ENTITY[template]}", "model_name": "fraud_detector"}'\n` : ''}\`\`\`

| | |
|---|---|
| \`features/\` | sources, views and services |
| \`models/\` | models: features, training, gates |
| \`pipelines/\` | Beam pipelines of your own |
| \`scripts/\` | programs of your own: \`npx headwater scripts run NAME\` |
| \`configs/\` | settings, by environment |
| \`test/\` | \`npm test\`: events in, rows out |

\`npm run plan\` shows what a change of definitions needs, \`npm run apply\` does it. \`npx headwater --help\` lists all commands.
`;
