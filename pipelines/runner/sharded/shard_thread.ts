import { parentPort, workerData } from 'node:worker_threads';
import { createLogger } from '#monitoring/log';
import type { Construct } from '#pipelines/model/graph';
import { createPipeline } from '#pipelines/model/pipeline';
import { failureOf } from './failures.ts';
import type { FromShard, ToShard } from './messages.ts';
import { Shard } from './shard.ts';
import type { ThreadData } from './threads.ts';

/** What a program's module must export. */
export interface ProgramModule {
  openPipeline(argument: unknown): Promise<{ readonly construct: Construct; close(): Promise<void> }>;
}

const { program, logLevel, ...spec } = workerData as ThreadData;
const port = parentPort;
if (port === null) throw new Error('this module is the entry of a worker thread');
const post = (message: FromShard, transfer: readonly ArrayBuffer[]): void => port.postMessage(message, transfer);

// Messages wait in the port until someone listens.
try {
  const { openPipeline } = (await import(program.module)) as ProgramModule;
  const { construct, close } = await openPipeline(program.argument);
  const shard = new Shard({
    ...spec,
    plan: createPipeline(construct),
    log: createLogger({ level: logLevel }),
    post(message, transfer) {
      if (message.kind !== 'closed') post(message, transfer);
      else void close().finally(() => post(message, transfer));
    },
  });
  port.on('message', (message: ToShard) => shard.receive(message));
} catch (error) {
  post({ kind: 'failed', failure: failureOf(error) }, []);
}
