import { ConfigError } from '#configs/errors';
import { holdsKeys } from '#connectors/http/key_ring';
import { PORTS, type Role } from './choices.ts';

/** What of the configuration production is strict about. */
interface Guarded {
  readonly debug: boolean;
  readonly tls?: object | undefined;
  readonly tlsEndsInFront: boolean;
  readonly onlineStore: { readonly kind: string; readonly password?: string | undefined };
  readonly offlineStore: { readonly kind: string; readonly password?: string | undefined };
  readonly registry: { readonly kind: string };
  readonly broker: { readonly kind: string };
  readonly gateway: Door;
  readonly featureApi: Door;
  readonly serving: Door;
  readonly pipeline: Listener;
  readonly monitor: Listener;
}

interface Listener {
  readonly host: string;
  readonly tls?: object | undefined;
}

interface Door extends Listener {
  readonly apiKeys?: readonly unknown[] | undefined;
  readonly jwt?: object | undefined;
  readonly keysFile?: string | undefined;
}

/** What people leave as it was. */
const WELL_KNOWN = /^(postgres|admin|password|secret|changeme|headwater|redis|root|test|example|development-only|)$/i;
const SHORTEST = 12;
const ON_ONE_MACHINE = ['memory', 'pglite', 'local'];
const LOOPBACK = ['127.0.0.1', 'localhost', '::1'];

/** @throws {@link ConfigError} with everything that must not go into production */
export function checkProduction(config: Guarded): void {
  const problems: string[] = [];
  if (config.debug) problems.push('debug is on');
  for (const part of ['broker', 'onlineStore', 'offlineStore', 'registry'] as const) {
    const { kind } = config[part];
    if (ON_ONE_MACHINE.includes(kind))
      problems.push(`${part}.kind is "${kind}", which lives and dies with one machine`);
  }
  for (const part of ['onlineStore', 'offlineStore'] as const) {
    const { kind, password = '' } = config[part];
    if (kind !== 'redis' && kind !== 'postgres') continue;
    if (WELL_KNOWN.test(password)) problems.push(`${part}.password is empty or one that everybody knows`);
    else if (password.length < SHORTEST) problems.push(`${part}.password is shorter than ${SHORTEST} characters`);
  }
  refuse(problems);
}

/** Roles that callers come to. */
const DOORS = ['gateway', 'features', 'serving'] as const;
const isDoor = (role: Role): role is (typeof DOORS)[number] => (DOORS as readonly Role[]).includes(role);

type Listening = Pick<Guarded, (typeof PORTS)[Role]['settings'] | 'tls' | 'tlsEndsInFront'>;

/** @throws {@link ConfigError} for listeners of this process that anybody may come through, or listen in to */
export function checkDoors(config: Listening, roles: readonly Role[]): void {
  const problems: string[] = [];
  for (const role of roles) {
    const { settings } = PORTS[role];
    const { host, tls = config.tls } = config[settings];
    if (LOOPBACK.includes(host) || tls !== undefined || config.tlsEndsInFront) continue;
    problems.push(
      `${settings} listens on ${host} without TLS: set tls (TLS_CERT_FILE, TLS_KEY_FILE), or TLS_ENDS_IN_FRONT=true where only something that ends TLS reaches it`,
    );
  }
  for (const role of roles.filter(isDoor)) {
    const door = PORTS[role].settings;
    const { host, apiKeys = [], jwt, keysFile } = config[door];
    const isClosed = apiKeys.length > 0 || jwt !== undefined || holdsKeys(keysFile);
    if (!LOOPBACK.includes(host) && !isClosed) {
      problems.push(`${door} listens on ${host} and lets in everybody: set its apiKeys, keysFile or jwt`);
    }
  }
  refuse(problems);
}

function refuse(problems: readonly string[]): void {
  if (problems.length === 0) return;
  const list = problems.map((problem) => `  - ${problem}`).join('\n');
  throw new ConfigError(`this configuration is not for production:\n${list}`);
}
