import { type Construct, InvalidPipelineError } from 'headwater/pipelines';
import { assertThat } from 'headwater/pipelines/testing';
import { eventAt } from './events.ts';
import { ORACLES } from './oracle.ts';
import { QUERIES } from './queries.ts';
import { nexmarkEvents } from './source.ts';

/**
 * `headwater pipelines run nexmark/pipeline --option query=5 --option events=10000`: runs a query on any runner, and checks its answer
 * against plain loops. The job fails when they differ.
 */
export default function nexmark(options: Readonly<Record<string, string>>): Construct {
  const query = Number(options.query ?? 0);
  const events = Number(options.events ?? 5_000);
  const transform = QUERIES[query];
  const oracle = ORACLES[query];
  if (transform === undefined || oracle === undefined) {
    throw new InvalidPipelineError(`query=${options.query}: queries are 0 to ${QUERIES.length - 1}`);
  }
  if (!(Number.isInteger(events) && events > 0))
    throw new InvalidPipelineError(`events=${options.events} is no number of events`);
  return (root) => {
    const all = Array.from({ length: events }, (_, index) => eventAt(index));
    assertThat(transform(root.apply(nexmarkEvents(events))), `Query ${query}`).containsInAnyOrder(oracle(all));
  };
}
