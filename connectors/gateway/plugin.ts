import { messageOf } from '#kernel/errors';
import type { PluginContext, RolePlugin } from '#monitoring/http/role_plugin';
import { InvalidEventError } from './errors.ts';
import type { EventIntake } from './event_intake.ts';

/** An event that a plugin of the gateway has sent. */
export interface IngestedByPlugin {
  readonly eventId: string;
  readonly outcome: 'accepted' | 'duplicate';
}

/** What a plugin of the gateway gets. */
export interface GatewayPluginContext extends PluginContext {
  /**
   * Takes an event in as `POST /ingest` does; resolves when it is durable. What is refused goes to the dead letters.
   *
   * @throws InvalidEventError with the fields that the source's schema refuses; it has its HTTP answer when a route lets it through
   */
  ingest(event: Readonly<Record<string, unknown>>): Promise<IngestedByPlugin>;
  /**
   * Does the same with a message of another form. Where `toEvent` throws, the dead letter has the bytes and the error.
   *
   * @param toEvent - makes the event of the bytes; without, the bytes are an event's JSON
   * @throws InvalidEventError with what `toEvent` throws, or with the fields that the source's schema refuses
   */
  ingestMessage(
    bytes: Buffer,
    toEvent?: (bytes: Buffer) => Readonly<Record<string, unknown>>,
  ): Promise<IngestedByPlugin>;
}

/** Routes that a project adds to the gateway. */
export type GatewayPlugin = RolePlugin<GatewayPluginContext>;

/** Returns what plugins of the gateway get besides log and metrics. */
export const gatewayForPlugins = (intake: EventIntake): Pick<GatewayPluginContext, 'ingest' | 'ingestMessage'> => ({
  ingest: (event) => intake.take(Buffer.from(JSON.stringify(event)), undefined, undefined),
  ingestMessage: (bytes, toEvent) =>
    intake.take(bytes, undefined, toEvent === undefined ? undefined : () => ({ text: textOf(toEvent, bytes) })),
});

/** @throws {@link InvalidEventError} */
function textOf(toEvent: (bytes: Buffer) => Readonly<Record<string, unknown>>, bytes: Buffer): string {
  try {
    return JSON.stringify(toEvent(bytes));
  } catch (error) {
    throw new InvalidEventError([{ field: '', problem: messageOf(error) }]);
  }
}
