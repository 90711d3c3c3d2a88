import { importOptional } from '#kernel/optional_package';
import type { GatewayPlugin } from '../gateway/plugin.ts';
import { readTlsFiles } from '../tls_files.ts';
import { checkedSettings, type MqttIntakeSpec } from './config.ts';
import { MqttSession } from './mqtt_session.ts';

/**
 * Returns a plugin of the gateway that takes in what devices publish: `plugins: { gateway: [mqttIntake({ … })] }`. A message is acknowledged when its event is durable in the
 * platform's broker (or its spool), or among the dead letters; until then the MQTT broker keeps it, and delivers it again after a crash or an outage. Needs the package mqtt.
 *
 * @throws {@link ConfigError} naming each setting that cannot be, when the gateway starts
 */
export const mqttIntake = ({ toEvent, ...spec }: MqttIntakeSpec): GatewayPlugin => ({
  name: spec.name,
  async register(app, context) {
    const { tls, ...settings } = checkedSettings(spec);
    const mqtt = await importOptional({ packages: ['mqtt'], use: 'mqttIntake' }, () => import('mqtt'));
    const options = { ...settings, tls: tls === undefined ? {} : readTlsFiles(tls) };
    const session = new MqttSession({ ...context, connect: mqtt.connect }, options, toEvent);
    app.addHook('onListen', async () => session.open());
    app.addHook('preClose', () => session.close());
  },
});
