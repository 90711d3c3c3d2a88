import { parseArgs } from 'node:util';
import type { StateOptions } from '#pipelines/runner/state_options';
import { chaosEngine } from './chaos/engine.ts';
import { chaosFeatures } from './chaos/features/run.ts';
import { chaosGraphs } from './chaos/graphs.ts';
import { chaosPlatform } from './chaos/platform/run.ts';
import { chaosWorkflows } from './chaos/workflows/run.ts';

/**
 * npm run test:chaos -- engine|engine-threads [KILLS] [--state heap|disk]
 * npm run test:chaos -- graphs [--seed N] [--sequences N] [--state heap|disk]
 * npm run test:chaos -- features [--seed N] [--sequences N] [--resume FILE] [--round N] [--only FILE]
 * npm run test:chaos -- platform [--seed N] [--faults N] [--minutes M] [--resume FILE] [--only KIND] [--round N] [--quick] [--keep]
 * npm run test:chaos -- workflows [--seed N] [--kills N] [--runs N] [--minutes M] [--database postgres|pglite]
 */
const USAGE = `usage: npm run test:chaos -- engine|engine-threads [KILLS] [--state heap|disk]
       npm run test:chaos -- graphs [--seed N] [--sequences N] [--state heap|disk]
       npm run test:chaos -- features [--seed N] [--sequences N] [--resume FILE] [--round N] [--only FILE]
       npm run test:chaos -- platform [--seed N] [--faults N] [--minutes M] [--resume FILE] [--only KIND] [--round N] [--quick] [--keep]
       npm run test:chaos -- workflows [--seed N] [--kills N] [--runs N] [--minutes M] [--database postgres|pglite]
`;
const FAULTS = 1_000;
const SEQUENCES = 10_000;
const KILLS = 1_000;
const RUNS = 60;
const MINUTES = 50;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ...{ seed: { type: 'string' }, faults: { type: 'string' }, minutes: { type: 'string' } },
    ...{
      sequences: { type: 'string' },
      kills: { type: 'string' },
      runs: { type: 'string' },
      database: { type: 'string' },
    },
    ...{
      resume: { type: 'string' },
      only: { type: 'string' },
      round: { type: 'string' },
      quick: { type: 'boolean' },
      keep: { type: 'boolean' },
      state: { type: 'string' },
    },
  } as const,
});
const [suite = '', kills = '50'] = positionals;
type Outcome = { readonly passed: number; readonly failed: number };

/** With the state backend that was requested, or with one after the other. */
async function chaosBoth(chaos: (state: StateOptions['kind']) => Promise<Outcome>): Promise<Outcome> {
  const states = (['heap', 'disk'] as const).filter((one) => one === (values.state ?? one));
  const outcomes: Outcome[] = [];
  for (const state of states) outcomes.push(await chaos(state));
  return {
    passed: outcomes.reduce((sum, { passed }) => sum + passed, 0),
    failed: outcomes.reduce((sum, { failed }) => sum + failed, 0),
  };
}

const runs: Readonly<Record<string, () => Promise<Outcome>>> = {
  engine: () => chaosBoth((state) => chaosEngine(Number(kills), state)),
  'engine-threads': () => chaosBoth((state) => chaosEngine(Number(kills), state, 2)),
  graphs: () =>
    chaosBoth((state) =>
      chaosGraphs(Number(values.seed ?? Date.now() % 1_000_000), Number(values.sequences ?? SEQUENCES), state),
    ),
  features: () =>
    chaosFeatures({
      seed: Number(values.seed ?? Date.now() % 1_000_000),
      sequences: Number(values.sequences ?? SEQUENCES),
      resume: values.resume,
      round: values.round === undefined ? undefined : Number(values.round),
      only: values.only,
    }),
  platform: () =>
    chaosPlatform({
      seed: Number(values.seed ?? Date.now() % 1_000_000),
      faults: Number(values.faults ?? FAULTS),
      minutes: Number(values.minutes ?? MINUTES),
      resume: values.resume,
      only: values.only,
      round: values.round === undefined ? undefined : Number(values.round),
      isQuick: values.quick ?? false,
      keep: values.keep ?? false,
    }),
  workflows: () =>
    chaosWorkflows({
      seed: Number(values.seed ?? Date.now() % 1_000_000),
      kills: Number(values.kills ?? KILLS),
      runs: Number(values.runs ?? RUNS),
      minutes: Number(values.minutes ?? MINUTES),
      database: values.database === 'pglite' ? 'pglite' : 'postgres',
    }),
};
const run = runs[suite];
if (run === undefined) {
  process.stderr.write(USAGE);
  process.exit(2);
}
const { passed, failed } = await run();
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exit(failed > 0 ? 1 : 0);
