import { z } from 'zod';
import { ConfigError } from '#configs/errors';

/** A message as an MQTT broker delivers it. */
export interface MqttMessage {
  /** `plant/press-1/temperature` */
  readonly topic: string;
  /** The parts of the topic: `['plant', 'press-1', 'temperature']`. */
  readonly levels: readonly string[];
  readonly payload: Buffer;
  /** The broker has kept the message for new subscribers: it may be old. */
  readonly isRetained: boolean;
}

/** Which topics of an MQTT broker become events, and how. */
export interface MqttIntakeSpec {
  /** Names the intake in logs, metrics and errors. */
  readonly name: string;
  /** `mqtt://host:1883`, `mqtts://host:8883`, `ws://` or `wss://`. */
  readonly url: string;
  /** Names the session, in which the broker keeps messages while the gateway is away. One connection at a time has it: two gateways need two. */
  readonly clientId: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Paths of PEM files, for `mqtts://` and `wss://`. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string; readonly serverName?: string };
  /** Filters to subscribe to, at QoS 1: `plant/+/temperature`, `plant/#`, `$share/GROUP/plant/#`. */
  readonly topics: readonly string[];
  /** Seconds without traffic after which the connection is checked; default: 30. */
  readonly keepAliveSeconds?: number;
  /**
   * Makes the event of a message, as a client would send it to `POST /ingest`. The same message must give the same `event_id`: after a lost connection it is delivered
   * again. What this throws, and an event that its source refuses, goes to the dead letters with the payload.
   */
  toEvent(message: MqttMessage): Readonly<Record<string, unknown>>;
}

const settingsSchema = z.strictObject({
  name: z.string().min(1),
  url: z.url({ protocol: /^(mqtts?|wss?)$/ }),
  clientId: z.string().min(1).max(65_535),
  username: z.string().optional(),
  password: z.string().optional(),
  tls: z
    .strictObject({ ca: z.string(), cert: z.string(), key: z.string(), serverName: z.string() })
    .partial()
    .optional(),
  topics: z.array(z.string().min(1)).min(1),
  keepAliveSeconds: z.int().positive().max(65_535).default(30),
});
export type MqttIntakeSettings = z.output<typeof settingsSchema>;

/** Returns the settings with their defaults. @throws {@link ConfigError} naming each that cannot be */
export function checkedSettings(spec: Omit<MqttIntakeSpec, 'toEvent'>): MqttIntakeSettings {
  const parsed = settingsSchema.safeParse(spec);
  if (parsed.success) return parsed.data;
  // Values are not echoed: they may be secrets.
  throw new ConfigError(
    parsed.error.issues
      .map(({ path, message }) => `mqttIntake ${[`"${spec.name}"`, ...path].map(String).join('.')}: ${message}`)
      .join('\n'),
  );
}
