import { expect, test } from '@jest/globals';
import { eventAt } from '#examples/nexmark/events';
import { ORACLES } from '#examples/nexmark/oracle';
import nexmark from '#examples/nexmark/pipeline';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';

test.each(ORACLES.map((oracle, query) => [query, oracle] as const))(
  'query %i answers as plain loops do',
  async (query, oracle) => {
    const events = 4_000;
    expect(oracle(Array.from({ length: events }, (_, index) => eventAt(index))).length).toBeGreaterThan(0);
    const construct = nexmark({ query: String(query), events: String(events) });
    await runEmbedded(createPipeline(construct)).finished;
  },
);
