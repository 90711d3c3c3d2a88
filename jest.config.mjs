const transform = {
  '^.+\\.ts$': [
    '@swc/jest',
    { jsc: { parser: { syntax: 'typescript' }, target: 'es2023' }, module: { type: 'es6' }, sourceMaps: 'inline' },
  ],
};

// As a project imports the package.
const moduleNameMapper = {
  '^headwater$': '<rootDir>/public/index.ts',
  '^headwater/pipelines/testing$': '<rootDir>/public/pipelines_testing.ts',
  '^headwater/apache-beam$': '<rootDir>/public/apache_beam.ts',
  '^headwater/(features|pipelines|connectors|registry|serving|client|testing|workflows)$': '<rootDir>/public/$1.ts',
};

// Five seconds are soon over for a test that starts a process, on a machine that has something else to do.
const TIMEOUT_MS = 30_000;

const suite = (name, extra = {}) => ({
  displayName: name,
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
  testEnvironment: '<rootDir>/test/support/jest/file_environment.mjs',
  testEnvironmentOptions: { customExportConditions: ['source', 'node', 'node-addons'] },
  extensionsToTreatAsEsm: ['.ts'],
  transform,
  moduleNameMapper,
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/.headwater/'],
  ...extra,
});

/** Three files at a time: each worker has servers of its own (scripts/test.ts). */
const sharingServers = { testEnvironment: '<rootDir>/test/support/jest/worker_environment.mjs' };

export default {
  coverageProvider: 'v8',
  collectCoverageFrom: [
    '{kernel,configs,monitoring,storage,connectors,registry,feature_store,pipelines,serving,workflows,client,cli}/**/*.ts',
    // AssemblyScript.
    '!serving/models/kernels/{row_scan,row_text,tree_walk}.ts',
  ],
  testTimeout: TIMEOUT_MS,
  testSequencer: '<rootDir>/test/support/jest/slowest_first.mjs',
  projects: [
    suite('unit'),
    suite('conformance'),
    suite('integration', sharingServers),
    suite('e2e', sharingServers),
    suite('attack', sharingServers),
    suite('recovery'),
    suite('models'),
    suite('clients'),
    suite('faults'),
    suite('package'),
  ],
};
