import { z } from 'zod';
import { DEAD_LETTER_REPLAY_GROUP } from '#connectors/dead_letters/dead_letters';

/** A name that topics, groups, Redis keys and schemas of PostgreSQL can all begin with. */
export const namespaceSchema = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,30}$/, 'must be a to z, 0 to 9 and _, beginning with a letter, 31 characters at most')
  .refine((name) => !/^(pg_|information_schema$|public$)/.test(name), 'is a name of PostgreSQL’s own');

/** An extension of the project, which may name things on servers as well. */
interface OwnPart {
  readonly kind: 'extension';
  readonly namespace?: string | undefined;
}

/** What a configuration names on servers that others use as well. */
interface NamedOnServers {
  readonly namespace?: string | undefined;
  readonly topics: Readonly<Record<'rawEvents' | 'featureEvents' | 'deadLetters' | 'predictions', string>>;
  readonly pipeline: { readonly group: string };
  readonly monitor: { readonly group: string };
  readonly onlineStore:
    | { readonly kind: 'redis'; readonly keyPrefix: string }
    | { readonly kind: 'dynamodb'; readonly tablePrefix: string }
    | OwnPart
    | { readonly kind: 'memory' };
  readonly offlineStore:
    | { readonly kind: 'postgres'; readonly schema?: string | undefined; readonly features?: OwnPart | undefined }
    | { readonly kind: 'pglite'; readonly features?: OwnPart | undefined };
  readonly registry: OwnPart | { readonly kind: 'local' | 'mlflow' };
}

/** A configuration whose names on shared servers are its own. */
export function withNamespace<Config extends NamedOnServers>(config: Readonly<Config>): Readonly<Config> {
  const { namespace, topics, pipeline, monitor, onlineStore, offlineStore, registry } = config;
  if (namespace === undefined) return config;
  const own = (name: string): string => prefixed(namespace, '.', name);
  const ownNames = (part: OwnPart): OwnPart => ({ ...part, namespace: part.namespace ?? namespace });
  return Object.freeze({
    ...config,
    topics: {
      ...topics,
      rawEvents: own(topics.rawEvents),
      featureEvents: own(topics.featureEvents),
      deadLetters: own(topics.deadLetters),
      predictions: own(topics.predictions),
    },
    pipeline: { ...pipeline, group: own(pipeline.group) },
    monitor: { ...monitor, group: own(monitor.group) },
    onlineStore: ownOnlineStore(onlineStore, namespace),
    offlineStore: {
      ...offlineStore,
      ...(offlineStore.kind === 'postgres' ? { schema: offlineStore.schema ?? namespace } : {}),
      ...(offlineStore.features === undefined ? {} : { features: ownNames(offlineStore.features) }),
    },
    registry: registry.kind === 'extension' ? ownNames(registry) : registry,
  });
}

function ownOnlineStore<Store extends NamedOnServers['onlineStore']>(store: Store, namespace: string): Store {
  if (store.kind === 'redis') return { ...store, keyPrefix: prefixed(namespace, ':', store.keyPrefix) };
  if (store.kind === 'dynamodb') return { ...store, tablePrefix: prefixed(namespace, '-', store.tablePrefix) };
  return store.kind === 'extension' ? { ...store, namespace: store.namespace ?? namespace } : store;
}

/** The group whose offsets say which dead letters were replayed. */
export const replayGroupOf = ({ namespace }: Pick<NamedOnServers, 'namespace'>): string =>
  namespace === undefined ? DEAD_LETTER_REPLAY_GROUP : prefixed(namespace, '.', DEAD_LETTER_REPLAY_GROUP);

/** Once: names of a configuration that was made from another have it already. */
const prefixed = (namespace: string, separator: string, name: string): string =>
  name.startsWith(`${namespace}${separator}`) ? name : `${namespace}${separator}${name}`;
