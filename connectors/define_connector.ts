import type { z } from 'zod';
import type { Extension } from '#configs/extension';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import type { Broker } from './connector.ts';

/** What a connector of a project is given. */
export interface ConnectorDeps {
  readonly log: Logger;
  readonly clock: Clock;
}

/** A broker of a project's own: `broker: { kind: extension, use: <name>, settings: { … } }` selects it. */
export interface Connector<Settings = unknown> extends Extension<Settings> {
  /** Returns a broker that is not started; its `start` connects. */
  create(deps: ConnectorDeps, settings: Settings): Broker | Promise<Broker>;
}

/** Defines a broker of the project's own, for `connectors` of `defineConfig`. `brokerContract` of `headwater/testing` tests it. */
export const defineConnector = <Schema extends z.ZodType>(connector: {
  readonly name: string;
  readonly settings: Schema;
  create(deps: ConnectorDeps, settings: z.output<Schema>): Broker | Promise<Broker>;
}): Connector => Object.freeze({ ...connector }) as unknown as Connector;
