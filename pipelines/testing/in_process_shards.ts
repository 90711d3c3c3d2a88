import type { Construct } from '#pipelines/model/graph';
import { createPipeline } from '#pipelines/model/pipeline';
import type { FromShard, LaunchShard, ShardChannel } from '#pipelines/runner/sharded/messages';
import { Shard } from '#pipelines/runner/sharded/shard';

/**
 * Shards that live on this thread but send and receive everything as copied messages, as if they had threads of their own. For
 * tests whose functions are not in a module that a thread could import.
 */
export const inProcessShards =
  (construct: Construct): LaunchShard =>
  (spec): ShardChannel => {
    const listeners: ((message: FromShard) => void)[] = [];
    const shard = new Shard({
      ...spec,
      plan: createPipeline(construct),
      post(message, transfer) {
        const copy = structuredClone(message, { transfer: [...transfer] });
        setImmediate(() => {
          for (const listener of listeners) listener(copy);
        });
      },
    });
    return {
      post(message, transfer) {
        const copy = structuredClone(message, { transfer: [...transfer] });
        setImmediate(() => shard.receive(copy));
      },
      onMessage: (listener) => listeners.push(listener),
      onLost() {},
      async close() {},
    };
  };
