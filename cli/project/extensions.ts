import { missingMethods } from '#configs/extension';
import type { Connector } from '#connectors/define_connector';
import type { GatewayPlugin } from '#connectors/gateway/plugin';
import type { FeaturesPlugin } from '#feature_store/api/plugin';
import type { PersonalData } from '#feature_store/data_subjects/personal_data';
import type { OfflineStoreExtension } from '#feature_store/offline/define_offline_store';
import type { OnlineStoreExtension } from '#feature_store/online/define_online_store';
import type { RolePlugin } from '#monitoring/http/role_plugin';
import type { RegistryExtension } from '#registry/catalog';
import type { Trainer } from '#registry/trainers/define_trainer';
import type { ServingPlugin } from '#serving/plugin';
import { ProjectModuleError } from './errors.ts';

/** Routes of the project's own, by the role whose listener has them. */
export interface RolePlugins {
  readonly gateway?: readonly GatewayPlugin[];
  readonly features?: readonly FeaturesPlugin[];
  readonly serving?: readonly ServingPlugin[];
  readonly pipeline?: readonly RolePlugin[];
  readonly monitor?: readonly RolePlugin[];
}

/** What a project adds to the platform besides definitions; part of `defineConfig`. */
export interface ExtensionSpec {
  readonly plugins?: RolePlugins;
  /** Brokers: `broker: { kind: extension, use: … }`. */
  readonly connectors?: readonly Connector[];
  readonly stores?: {
    /** `onlineStore: { kind: extension, use: … }` */
    readonly online?: readonly OnlineStoreExtension[];
    /** `offlineStore: { …, features: { kind: extension, use: … } }` */
    readonly offline?: readonly OfflineStoreExtension[];
  };
  /** `registry: { kind: extension, use: … }` */
  readonly registries?: readonly RegistryExtension[];
  /** `training: { trainer: 'extension', use: … }` */
  readonly trainers?: readonly Trainer[];
  /** Tables, files and services of the project's own that `headwater entities erase` and `export` reach. */
  readonly personalData?: readonly PersonalData[];
}

/** The same, complete. */
export interface ProjectExtensions {
  readonly plugins: Required<RolePlugins>;
  readonly connectors: readonly Connector[];
  readonly onlineStores: readonly OnlineStoreExtension[];
  readonly offlineStores: readonly OfflineStoreExtension[];
  readonly registries: readonly RegistryExtension[];
  readonly trainers: readonly Trainer[];
  readonly personalData: readonly PersonalData[];
}

/**
 * Returns the extensions of a project.
 *
 * @throws {@link ProjectModuleError} naming the list and the entry: one without a name, its method or a schema of settings, and two with one name
 */
export function extensionsOf(file: string, spec: ExtensionSpec): ProjectExtensions {
  const { plugins = {}, connectors = [], stores = {}, registries = [], trainers = [], personalData = [] } = spec;
  const { gateway = [], features = [], serving = [], pipeline = [], monitor = [] } = plugins;
  const { online = [], offline = [] } = stores;
  for (const [role, entries] of Object.entries({ gateway, features, serving, pipeline, monitor }))
    checkEntries(file, `plugins.${role}`, entries, 'register');
  const created = { connectors, 'stores.online': online, 'stores.offline': offline, registries };
  for (const [list, entries] of Object.entries(created)) checkEntries(file, list, entries, 'create');
  checkEntries(file, 'trainers', trainers, 'train');
  checkEntries(file, 'personalData', personalData, 'open');
  for (const { name, entity } of personalData) {
    if (typeof entity?.name !== 'string')
      throw new ProjectModuleError(file, `personalData: "${name}" needs entity, as entity() makes it`);
  }
  for (const [list, entries] of Object.entries({ ...created, trainers })) {
    for (const { name, settings } of entries) {
      if (missingMethods(settings, ['safeParse']).length > 0)
        throw new ProjectModuleError(file, `${list}: "${name}" needs settings, a zod schema`);
    }
  }
  return {
    plugins: { gateway, features, serving, pipeline, monitor },
    ...{ connectors, onlineStores: online, offlineStores: offline, registries, trainers, personalData },
  };
}

function checkEntries(
  file: string,
  list: string,
  entries: readonly { readonly name?: unknown }[],
  method: string,
): void {
  const seen = new Set<string>();
  for (const entry of entries) {
    const { name } = entry;
    if (typeof name !== 'string' || name === '') throw new ProjectModuleError(file, `${list}: each needs a name`);
    if (seen.has(name)) throw new ProjectModuleError(file, `${list}: two are called "${name}"`);
    if (missingMethods(entry, [method]).length > 0)
      throw new ProjectModuleError(file, `${list}: "${name}" has no method ${method}()`);
    seen.add(name);
  }
}

export const NO_EXTENSIONS: ProjectExtensions = extensionsOf('headwater.config', {});
