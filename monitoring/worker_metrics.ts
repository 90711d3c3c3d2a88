import cluster from 'node:cluster';
import { AggregatorRegistry, type Registry } from 'prom-client';

// Metrics of processes that serve together: each process returns those of all.

const ASK = 'headwater:metrics?';
const ANSWER = 'headwater:metrics';
const PATIENCE_MS = 6_000;

interface Message {
  readonly type: string;
  readonly id: number;
  readonly text?: string;
}

const isMessage = (message: unknown, type: string): message is Message =>
  typeof message === 'object' && message !== null && (message as Message).type === type;

/** In the process that has started the workers: answers them with the sum of all. */
export function answerWithAllMetrics(): void {
  const registry = new AggregatorRegistry();
  cluster.on('message', (worker, message: unknown) => {
    if (!isMessage(message, ASK)) return;
    const { id } = message;
    void registry.clusterMetrics().then(
      (text) => worker.isConnected() && worker.send({ type: ANSWER, id, text }),
      () => {},
    );
  });
}

/** In a worker: how to tell the metrics of all; by itself those of this one, where the others do not answer in time. */
export function metricsOfAll(own: Registry): () => Promise<string> {
  AggregatorRegistry.setRegistries([own]);
  // Makes this process answer with its part when another requests it.
  new AggregatorRegistry();
  let next = 0;
  return () =>
    new Promise((resolve, reject) => {
      const id = next;
      next += 1;
      const settle = (text: string | Promise<string>): void => {
        clearTimeout(timer);
        process.off('message', onMessage);
        Promise.resolve(text).then(resolve, reject);
      };
      const onMessage = (message: unknown): void => {
        if (isMessage(message, ANSWER) && message.id === id) settle(message.text ?? '');
      };
      const timer = setTimeout(() => settle(own.metrics()), PATIENCE_MS);
      process.on('message', onMessage);
      process.send?.({ type: ASK, id });
    });
}
