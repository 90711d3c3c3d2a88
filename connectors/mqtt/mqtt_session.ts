import type { ConnectionOptions } from 'node:tls';
import type { connect, IPublishPacket, MqttClient } from 'mqtt';
import { messageOf } from '#kernel/errors';
import { counterOf, gaugeOf } from '#monitoring/metrics';
import { Delivery } from '../delivery.ts';
import { isRefusal } from '../failure_class.ts';
import type { GatewayPluginContext } from '../gateway/plugin.ts';
import type { MqttIntakeSettings, MqttIntakeSpec } from './config.ts';

interface SessionDeps extends Pick<GatewayPluginContext, 'ingestMessage' | 'log' | 'metrics'> {
  readonly connect: typeof connect;
}

interface SessionSettings extends Omit<MqttIntakeSettings, 'tls'> {
  readonly tls: ConnectionOptions;
}

type Outcome = 'accepted' | 'duplicate' | 'refused' | 'unacknowledged';

const RECONNECT_MS = 1_000;
const QOS = 1;
/** What a broker answers a subscription with that it refuses. */
const REFUSED = 128;

/**
 * A session at an MQTT broker that lasts over connections. Messages are handled one after the other; each is acknowledged once its event is durable, and never on
 * another connection than its own, where its id may be that of another message.
 */
export class MqttSession {
  readonly #deps: SessionDeps;
  readonly #settings: SessionSettings;
  readonly #toEvent: MqttIntakeSpec['toEvent'];
  readonly #delivery: Delivery;
  readonly #connected;
  readonly #messages;
  #client: MqttClient | undefined;
  /** Of the connection that is open, or of the next. */
  #connection = new AbortController();

  constructor(deps: SessionDeps, settings: SessionSettings, toEvent: MqttIntakeSpec['toEvent']) {
    this.#deps = deps;
    this.#settings = settings;
    this.#toEvent = toEvent;
    // The MQTT broker keeps what waits: there is no reason to give up.
    this.#delivery = new Delivery(deps, {
      ...{ target: `broker for ${settings.name}`, giveUpAfterMs: Number.POSITIVE_INFINITY },
    });
    this.#connected = gaugeOf(deps.metrics, {
      name: 'mqtt_connected',
      help: 'Whether an intake is connected to its MQTT broker, by its name',
      labelNames: ['intake'],
    });
    this.#messages = counterOf(deps.metrics, {
      name: 'mqtt_messages_total',
      help: 'MQTT messages by what became of them: accepted, duplicate, refused (in the dead letters), unacknowledged (the broker delivers them again)',
      labelNames: ['intake', 'outcome'],
    });
  }

  /** Connects, and connects again whenever the connection is lost. */
  open(): void {
    const { url, clientId, username, password, keepAliveSeconds, tls, name } = this.#settings;
    const { log } = this.#deps;
    this.#connected.set({ intake: name }, 0);
    const client = this.#deps.connect(url, {
      ...{ clientId, clean: false, keepalive: keepAliveSeconds, reconnectPeriod: RECONNECT_MS, resubscribe: false },
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(tls as object),
      manualConnect: true,
    });
    // Before it connects: the messages of the session come with the first packets.
    client.handleMessage = (packet, done) => {
      this.#take(packet, this.#connection.signal).then(() => done(), done);
    };
    client.on('connect', ({ sessionPresent }) => {
      log.info({ host: new URL(url).host, clientId, sessionPresent }, 'mqtt.connected');
      this.#connected.set({ intake: name }, 1);
      this.#subscribe(client);
    });
    client.on('close', () => {
      this.#connection.abort();
      this.#connection = new AbortController();
      this.#connected.set({ intake: name }, 0);
    });
    client.on('error', (error) => log.warn({ error: messageOf(error), host: new URL(url).host }, 'mqtt.failed'));
    client.connect();
    this.#client = client;
  }

  /** Ends the connection; what was not acknowledged stays in the session. */
  async close(): Promise<void> {
    this.#connection.abort();
    await this.#client?.endAsync(true);
  }

  #subscribe(client: MqttClient): void {
    const { topics } = this.#settings;
    client.subscribe([...topics], { qos: QOS }, (error, granted = []) => {
      const refused = granted.filter(({ qos }) => (qos as number) === REFUSED).map(({ topic }) => topic);
      const weaker = granted.filter(({ qos }) => qos < QOS).map(({ topic }) => topic);
      if (error !== null || refused.length > 0) {
        const reason = error === null ? 'the broker refuses the subscription' : messageOf(error);
        this.#deps.log.error({ error: reason, topics: error === null ? refused : topics }, 'mqtt.not_subscribed');
      }
      if (weaker.length > 0) this.#deps.log.error({ topics: weaker }, 'mqtt.subscribed_below_qos_1');
    });
  }

  /** @throws where the message is not to be acknowledged */
  async #take(packet: IPublishPacket, connection: AbortSignal): Promise<void> {
    let outcome: Outcome;
    try {
      connection.throwIfAborted();
      outcome = await this.#ingest(packet, connection);
      connection.throwIfAborted();
    } catch (error) {
      this.#count('unacknowledged');
      throw error;
    }
    this.#count(outcome);
  }

  async #ingest({ topic, payload, retain }: IPublishPacket, connection: AbortSignal): Promise<Outcome> {
    const message = { topic, levels: topic.split('/'), payload: Buffer.from(payload), isRetained: retain };
    const ingest = () => this.#deps.ingestMessage(message.payload, () => this.#toEvent(message));
    try {
      return (await this.#delivery.run(ingest, connection)).outcome;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#deps.log.warn({ topic, error: messageOf(error) }, 'mqtt.refused');
      return 'refused';
    }
  }

  #count(outcome: Outcome): void {
    this.#messages.inc({ intake: this.#settings.name, outcome });
  }
}
