import { setTimeout as sleep } from 'node:timers/promises';
import { run } from './install.ts';
import type { RunningServer, StartServer } from './managed_process.ts';
import { acceptsConnections, freePort } from './managed_process.ts';

/** Whether a Docker engine answers: a client alone is not enough. */
export async function dockerAnswers(): Promise<boolean> {
  try {
    await run('docker', ['info', '--format', '{{.ServerVersion}}']);
    return true;
  } catch {
    return false;
  }
}

interface Image {
  readonly image: string;
  readonly port: number;
  readonly args?: (port: number) => readonly string[];
  readonly command?: readonly string[];
  readonly isReady: (port: number, container: string) => Promise<boolean>;
  readonly env: (port: number) => Readonly<Record<string, string>>;
}

const READY_WITHIN_MS = 120_000;

const fromImage =
  (spec: Image): StartServer =>
  async () => {
    const port = await freePort();
    const flags = ['-d', '-p', `127.0.0.1:${port}:${spec.port}`, ...(spec.args?.(port) ?? [])];
    const container = (await run('docker', ['run', ...flags, spec.image, ...(spec.command ?? [])]))
      .trim()
      .split('\n')
      .at(-1) as string;
    const stop = async (): Promise<void> => {
      await run('docker', ['stop', '-t', '5', container]).catch(() => {});
      await run('docker', ['rm', '-f', container]).catch(() => {});
    };
    const kill = async (): Promise<void> => void (await run('docker', ['kill', container]));
    const ready = async (): Promise<void> => {
      const giveUpAt = Date.now() + READY_WITHIN_MS;
      while (!(await spec.isReady(port, container).catch(() => false))) {
        if (Date.now() > giveUpAt) {
          const log = await run('docker', ['logs', '--tail', '30', container]).catch(String);
          await stop();
          throw new Error(`${spec.image} was not ready within ${READY_WITHIN_MS / 1_000} s\n${log}`);
        }
        await sleep(500);
      }
    };
    const restart = async (downMs: number): Promise<void> => {
      await kill();
      await sleep(downMs);
      await run('docker', ['start', container]);
      await ready();
    };
    const pause = async (downMs: number): Promise<void> => {
      await run('docker', ['pause', container]);
      await sleep(downMs);
      await run('docker', ['unpause', container]);
    };
    await ready();
    return { stop, kill, restart, pause, env: spec.env(port) } satisfies RunningServer;
  };

const kafkaListeners = (port: number): readonly string[] =>
  Object.entries({
    KAFKA_NODE_ID: '1',
    KAFKA_PROCESS_ROLES: 'broker,controller',
    KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9093',
    KAFKA_LISTENERS: 'PLAINTEXT://:9092,CONTROLLER://:9093',
    KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://127.0.0.1:${port}`,
    KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
    KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
  }).flatMap(([key, value]) => ['-e', `${key}=${value}`]);

/** The same servers as containers. MLflow's image has no onnx, so the Python side of its tests needs the native one. */
export const CONTAINERS: Readonly<Record<string, StartServer>> = {
  kafka: fromImage({
    image: 'apache/kafka:4.1.2',
    port: 9_092,
    args: kafkaListeners,
    isReady: acceptsConnections,
    env: (port) => ({ TEST_KAFKA_BROKERS: `127.0.0.1:${port}` }),
  }),
  redis: fromImage({
    image: 'redis:7',
    port: 6_379,
    isReady: acceptsConnections,
    env: (port) => ({ TEST_REDIS_URL: `redis://127.0.0.1:${port}` }),
  }),
  postgres: fromImage({
    image: 'postgres:15',
    port: 5_432,
    args: () => [
      '-e',
      'POSTGRES_USER=headwater',
      '-e',
      'POSTGRES_HOST_AUTH_METHOD=trust',
      '-e',
      'POSTGRES_DB=postgres',
    ],
    isReady: async (_, container) => {
      await run('docker', ['exec', container, 'pg_isready', '-h', '127.0.0.1']);
      return true;
    },
    env: (port) => ({ TEST_POSTGRES_URL: `postgres://headwater@127.0.0.1:${port}/postgres` }),
  }),
};
