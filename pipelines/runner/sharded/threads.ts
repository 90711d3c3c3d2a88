import { Worker } from 'node:worker_threads';
import { messageOf } from '#kernel/errors';
import type { LogLevel } from '#monitoring/log';
import type { FromShard, LaunchShard, ShardChannel, ShardSpec } from './messages.ts';

/** How a thread makes the pipeline: a module's `openPipeline`, called with `argument`. Functions cannot be sent to a thread. */
export interface PipelineProgram {
  readonly module: string;
  readonly argument: unknown;
}

export interface ThreadData extends ShardSpec {
  readonly program: PipelineProgram;
  readonly logLevel: LogLevel;
}

/** Shards on worker threads of this process. */
export function onThreads(program: PipelineProgram, logLevel: LogLevel): LaunchShard {
  return (spec): ShardChannel => {
    const workerData: ThreadData = { ...spec, program, logLevel };
    const worker = new Worker(new URL('./shard_thread.js', import.meta.url), { workerData });
    return {
      post: (message, transfer) => worker.postMessage(message, transfer),
      onMessage: (listener) => worker.on('message', (message: FromShard) => listener(message)),
      onLost(listener) {
        worker.on('error', (error) => listener(messageOf(error)));
        worker.on('exit', (code) => listener(`exit code ${code}`));
      },
      async close() {
        await worker.terminate();
      },
    };
  };
}
