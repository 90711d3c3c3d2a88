import type { FastifyInstance } from 'fastify';
import { messageOf } from '#kernel/errors';
import { PluginFailedError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Registry } from '../metrics.ts';
import { acceptJsonOnly } from './json_body.ts';

/** What every plugin of a role gets. */
export interface PluginContext {
  /** Bound to the plugin's name. */
  readonly log: Logger;
  /** For metrics of its own, which `GET /metrics` of the role shows. */
  readonly metrics: Registry;
}

/** Routes and hooks of a project's own, on the listener of a role. */
export interface RolePlugin<Context extends PluginContext = PluginContext> {
  readonly name: string;
  /**
   * Adds routes to a scope of the listener. Each route declares its callers: `config: { access: needs('predict:churn') }`; the role does not start with one
   * that does not. Bodies are JSON and checked by the route's schema exactly; hooks apply to the plugin's routes alone.
   */
  register(app: FastifyInstance, context: Context): void | Promise<void>;
}

/**
 * Registers plugins on a listener, each in a scope of its own.
 *
 * @throws {@link PluginFailedError} naming the plugin, for a route that exists and for what its `register` throws
 */
export async function registerPlugins<Context extends PluginContext>(
  app: FastifyInstance,
  plugins: readonly RolePlugin<Context>[],
  context: Context,
): Promise<void> {
  for (const plugin of plugins) {
    const log = context.log.child({ component: 'plugin', plugin: plugin.name });
    try {
      await app.register(async (scope) => {
        acceptJsonOnly(scope);
        await plugin.register(scope, { ...context, log });
      });
    } catch (error) {
      throw new PluginFailedError(plugin.name, messageOf(error), error);
    }
  }
}
