import Table from 'cli-table3';
import { lagOf } from '../parts/partition_lag.ts';
import { withBroker } from '../parts/with_broker.ts';
import { loadSettings } from '../project/project.ts';

export interface LagOptions {
  readonly group?: string;
  readonly topic?: string;
  readonly json: boolean;
}

/** `headwater pipelines lag`: the pipeline's distance from the end of its topic. */
export async function showLag(options: LagOptions): Promise<void> {
  await withBroker(loadSettings(), async (broker, { topics, pipeline }) => {
    const { group = pipeline.group, topic = topics.rawEvents } = options;
    const lags = await lagOf(broker, group, topic);
    const total = lags.reduce((sum, { lag }) => sum + lag, 0);
    if (options.json) {
      process.stdout.write(`${JSON.stringify({ group, topic, total, partitions: lags })}\n`);
      return;
    }
    const table = new Table({ head: ['partition', 'committed', 'lag'], style: { head: [], border: [] } });
    for (const { partition, committed, lag } of lags) table.push([partition, committed ?? 'nothing yet', lag]);
    process.stdout.write(`${table.toString()}\n${group} is ${total} records behind in ${topic}\n`);
  });
}
