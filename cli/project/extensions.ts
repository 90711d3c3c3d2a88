import type { Connector } from '#connectors/define_connector';
import type { GatewayPlugin } from '#connectors/gateway/plugin';
import type { FeaturesPlugin } from '#feature_store/api/plugin';
import type { OnlineStoreExtension } from '#feature_store/online/define_online_store';
import type { RolePlugin } from '#monitoring/http/role_plugin';
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
  };
  /** `training: { trainer: 'extension', use: … }` */
  readonly trainers?: readonly Trainer[];
}

/** The same, complete. */
export interface ProjectExtensions {
  readonly plugins: Required<RolePlugins>;
  readonly connectors: readonly Connector[];
  readonly onlineStores: readonly OnlineStoreExtension[];
  readonly trainers: readonly Trainer[];
}

/** @throws {@link ProjectModuleError} for two extensions of one kind with one name */
export function extensionsOf(file: string, spec: ExtensionSpec): ProjectExtensions {
  const { plugins = {}, connectors = [], stores = {}, trainers = [] } = spec;
  const { gateway = [], features = [], serving = [], pipeline = [], monitor = [] } = plugins;
  const { online = [] } = stores;
  const lists = {
    ...{ 'plugins.gateway': gateway, 'plugins.features': features, 'plugins.serving': serving },
    ...{ 'plugins.pipeline': pipeline, 'plugins.monitor': monitor },
    ...{ connectors, 'stores.online': online, trainers },
  };
  for (const [list, entries] of Object.entries(lists)) {
    const seen = new Set<string>();
    for (const { name } of entries as readonly { readonly name?: unknown }[]) {
      if (typeof name !== 'string' || name === '') throw new ProjectModuleError(file, `${list}: each needs a name`);
      if (seen.has(name)) throw new ProjectModuleError(file, `${list}: two are called "${name}"`);
      seen.add(name);
    }
  }
  return {
    plugins: { gateway, features, serving, pipeline, monitor },
    ...{ connectors, onlineStores: online, trainers },
  };
}

export const NO_EXTENSIONS: ProjectExtensions = extensionsOf('headwater.config', {});
