import { createRequire } from 'node:module';
import { z } from 'zod';
import { ConfigError } from '#configs/errors';
import type { BrokerConfig } from '#connectors/catalog';
import { holdsKeys } from '#connectors/http/key_ring';
import type { OfflineStoreConfig, OnlineStoreConfig } from '#feature_store/config';
import { secretsIn } from '#kernel/secrets';
import type { RegistryConfig } from '#registry/config';
import { PORTS, type Role } from '../terminal/choices.ts';

/** What of the configuration production is strict about. */
interface Guarded {
  readonly debug: boolean;
  readonly productionWaivers: readonly string[];
  readonly tls?: object | undefined;
  readonly tlsEndsInFront: boolean;
  readonly onlineStore: OnlineStoreConfig;
  readonly offlineStore: OfflineStoreConfig;
  readonly registry: RegistryConfig;
  readonly broker: BrokerConfig;
  readonly gateway: GuardedListener;
  readonly featureApi: GuardedListener;
  readonly serving: GuardedListener;
  readonly pipeline: Listener;
  readonly monitor: Listener;
}

interface Listener {
  readonly host: string;
  readonly tls?: object | undefined;
}

interface GuardedListener extends Listener {
  readonly apiKeys?: readonly unknown[] | undefined;
  readonly jwt?: object | undefined;
  readonly keysFile?: string | undefined;
}

const ON_ONE_MACHINE = ['disk_log', 'memory', 'pglite', 'local'];
const LOOPBACK = ['127.0.0.1', 'localhost', '::1'];
const PARTS = ['broker', 'onlineStore', 'offlineStore', 'registry'] as const;

/** Something that production refuses, under the name that it can be waived by. */
interface Problem {
  readonly name: string;
  readonly problem: string;
}

/** `part.what`, as refusals name it. */
const WAIVER = /^[a-zA-Z]+(\.[\w]+)*$/;
export const waiverSchema = z.string().regex(WAIVER, 'must be a name from a refusal, such as offlineStore.tls');

/** @throws {@link ConfigError} with everything that must not go into production, each with its name */
export function checkProduction(config: Guarded): void {
  const problems: Problem[] = [];
  if (config.debug) problems.push({ name: 'debug', problem: 'is on' });
  for (const part of PARTS) {
    const { kind } = config[part];
    if (ON_ONE_MACHINE.includes(kind)) {
      problems.push({ name: `${part}.kind`, problem: `is "${kind}", which lives and dies with one machine` });
    }
  }
  refuse(
    [...problems, ...withoutTls(config), ...withoutLogin(config), ...weakSecrets(config)],
    config.productionWaivers,
  );
}

/** Stores whose data and passwords can be read on the way. */
function withoutTls({ broker, onlineStore, offlineStore, registry }: Guarded): readonly Problem[] {
  const problems: Problem[] = [];
  const add = (part: string, what: string, how: string): void => {
    problems.push({ name: `${part}.tls`, problem: `${what} is spoken to without TLS: ${how}` });
  };
  if (broker.kind === 'kafka' && broker.tls === false)
    add('broker', 'Kafka', 'set broker.tls (KAFKA_TLS, KAFKA_CA_FILE)');
  if (broker.kind === 'kinesis' && isPlain(broker.endpoint)) add('broker', 'Kinesis', 'give an https endpoint');
  if (broker.kind === 'pubsub' && broker.emulator !== undefined)
    add('broker', 'a Pub/Sub emulator', 'unset PUBSUB_EMULATOR_HOST');
  if (onlineStore.kind === 'redis' && onlineStore.tls === false) {
    add('onlineStore', 'Redis', 'set onlineStore.tls (REDIS_TLS, REDIS_CA_FILE)');
  }
  if (onlineStore.kind === 'dynamodb' && isPlain(onlineStore.endpoint))
    add('onlineStore', 'DynamoDB', 'give an https endpoint');
  if (offlineStore.kind === 'postgres' && offlineStore.sslMode !== 'require') {
    add('offlineStore', 'PostgreSQL', 'set offlineStore.sslMode to require (DATABASE_SSL_MODE, DATABASE_CA_FILE)');
  }
  if (registry.kind === 'mlflow' && isPlain(registry.trackingUri)) {
    add('registry', 'MLflow', 'give an https address in registry.trackingUri (MLFLOW_TRACKING_URI)');
  }
  if (registry.kind === 'mlflow' && isPlain(registry.registryUri)) {
    add('registry', 'MLflow', 'give an https address in registry.registryUri (MLFLOW_REGISTRY_URI)');
  }
  return problems;
}

const isPlain = (url: string | undefined): boolean => url !== undefined && !/^https:/i.test(url);

function withoutLogin({ onlineStore, offlineStore, registry }: Guarded): readonly Problem[] {
  const problems: Problem[] = [];
  if (onlineStore.kind === 'redis' && (onlineStore.password ?? '') === '') {
    problems.push({ name: 'onlineStore.password', problem: 'is empty: set REDIS_PASSWORD' });
  }
  if (offlineStore.kind === 'postgres' && (offlineStore.password ?? '') === '') {
    problems.push({ name: 'offlineStore.password', problem: 'is empty: set DATABASE_PASSWORD' });
  }
  if (registry.kind !== 'mlflow') return problems;
  const { username = '', password = '', token = '', trackingUri } = registry;
  const isKnown = token !== '' || (username !== '' && password !== '') || new URL(trackingUri).password !== '';
  if (!isKnown) {
    problems.push({
      name: 'registry.login',
      problem:
        'MLflow is asked without a login: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN',
    });
  }
  return problems;
}

const SHORTEST = 12;
/** A guesser needs more tries than this, as zxcvbn estimates them: 10^11 is what a stolen hash takes hours for. */
const FEWEST_GUESSES_LOG10 = 11;

/** Every credential in the configuration: passwords, keys, tokens, and what URLs hold. */
function weakSecrets(config: object): readonly Problem[] {
  const found = secretsIn(config);
  if (found.length === 0) return [];
  judge ??= createJudge();
  const problems = new Map<string, string>();
  for (const { path, value } of found) {
    const problem = value.length < SHORTEST ? `is shorter than ${SHORTEST} characters` : judge(value);
    if (problem !== undefined) problems.set(path, problem);
  }
  return [...problems].map(([name, problem]) => ({ name, problem }));
}

/** Names of this platform and its stores, which are no secrets. */
const KNOWN_HERE = [
  'headwater',
  'postgres',
  'redis',
  'kafka',
  'mlflow',
  'gateway',
  'serving',
  'production',
  'development',
];

/** Made when production is first checked: its dictionaries take a while to read, and are of use to nothing else. */
let judge: ((secret: string) => string | undefined) | undefined;

function createJudge(): (secret: string) => string | undefined {
  const require = createRequire(import.meta.url);
  const { ZxcvbnFactory } = require('@zxcvbn-ts/core') as typeof import('@zxcvbn-ts/core');
  const { dictionary, adjacencyGraphs } =
    require('@zxcvbn-ts/language-common') as typeof import('@zxcvbn-ts/language-common');
  const estimator = new ZxcvbnFactory({ dictionary, graphs: adjacencyGraphs });
  return (secret) => {
    const { guessesLog10 } = estimator.check(secret, KNOWN_HERE);
    if (guessesLog10 >= FEWEST_GUESSES_LOG10) return undefined;
    return `can be guessed in about 10^${Math.floor(guessesLog10)} tries (repeated characters, words or sequences): make it with openssl rand -base64 24`;
  };
}

/** Roles that callers come to. */
const GUARDED_ROLES = ['gateway', 'features', 'serving'] as const;
const isGuarded = (role: Role): role is (typeof GUARDED_ROLES)[number] =>
  (GUARDED_ROLES as readonly Role[]).includes(role);

type Listening = Pick<Guarded, (typeof PORTS)[Role]['settings'] | 'tls' | 'tlsEndsInFront' | 'productionWaivers'>;

/** @throws {@link ConfigError} for listeners of this process that every client may use, or that others can listen in to */
export function checkListeners(config: Listening, roles: readonly Role[]): void {
  const problems: Problem[] = roles.flatMap((role) => {
    const { settings } = PORTS[role];
    return withoutListenerTls(settings, config[settings], config);
  });
  for (const role of roles.filter(isGuarded)) {
    const listener = PORTS[role].settings;
    const { host, apiKeys = [], jwt, keysFile } = config[listener];
    const isClosed = apiKeys.length > 0 || jwt !== undefined || holdsKeys(keysFile);
    if (!LOOPBACK.includes(host) && !isClosed) {
      const problem = `${listener} listens on ${host} and lets every caller in: set its apiKeys, keysFile or jwt`;
      problems.push({ name: `${listener}.access`, problem });
    }
  }
  refuse(problems, config.productionWaivers);
}

/** @throws {@link ConfigError} for the listener of a worker of workflows that others can listen in to */
export function checkWorkerListener(
  config: Pick<Guarded, 'tls' | 'tlsEndsInFront' | 'productionWaivers'> & {
    readonly workflows: { readonly worker: Listener };
  },
): void {
  refuse(withoutListenerTls('workflows.worker', config.workflows.worker, config), config.productionWaivers);
}

function withoutListenerTls(
  name: string,
  { host, tls }: Listener,
  all: Pick<Guarded, 'tls' | 'tlsEndsInFront'>,
): readonly Problem[] {
  if (LOOPBACK.includes(host) || (tls ?? all.tls) !== undefined || all.tlsEndsInFront) return [];
  const how =
    'set tls (TLS_CERT_FILE, TLS_KEY_FILE), or TLS_ENDS_IN_FRONT=true where only something that ends TLS reaches it';
  return [{ name: `${name}.tls`, problem: `${name} listens on ${host} without TLS: ${how}` }];
}

function refuse(problems: readonly Problem[], waivers: readonly string[]): void {
  const refused = problems.filter(({ name }) => !waivers.includes(name));
  if (refused.length === 0) return;
  const list = refused.map(({ name, problem }) => `  - ${name}: ${problem}`).join('\n');
  const names = refused.map(({ name }) => name).join(',');
  throw new ConfigError(
    `this configuration is not for production:\n${list}\nWhat has to be so can be waived by name: PRODUCTION_WAIVERS=${names}`,
  );
}
