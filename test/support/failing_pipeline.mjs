import { isMainThread } from 'node:worker_threads';
import { valueState } from '#pipelines/engine/dofn';
import { create, keyBy, parDo } from '#pipelines/model/transforms';

/** A pipeline whose keyed step does not like "b": it throws, or with exit=true ends its thread. */
export default ({ exit }) =>
  (root) => {
    const judge = {
      seen: valueState('seen'),
      process({ value }) {
        if (value !== 'b') return;
        if (exit === 'true' && !isMainThread) process.exit(3);
        throw new Error('no b, please');
      },
    };
    root
      .apply(create(['a', 'b']))
      .apply(keyBy((value) => value))
      .apply(parDo(judge, { name: 'Judge' }));
  };
