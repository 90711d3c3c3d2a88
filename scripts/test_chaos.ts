import { parseArgs } from 'node:util';
import { chaosEngine } from './chaos/engine.ts';
import { chaosPlatform } from './chaos/platform/run.ts';

/**
 * npm run test:chaos -- engine|engine-threads [KILLS]
 * npm run test:chaos -- platform [--seed N] [--faults N] [--minutes M] [--resume FILE] [--only KIND] [--round N] [--quick] [--keep]
 */
const USAGE = `usage: npm run test:chaos -- engine|engine-threads [KILLS]
       npm run test:chaos -- platform [--seed N] [--faults N] [--minutes M] [--resume FILE] [--only KIND] [--round N] [--quick] [--keep]
`;
const FAULTS = 1_000;
const MINUTES = 50;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ...{ seed: { type: 'string' }, faults: { type: 'string' }, minutes: { type: 'string' } },
    ...{
      resume: { type: 'string' },
      only: { type: 'string' },
      round: { type: 'string' },
      quick: { type: 'boolean' },
      keep: { type: 'boolean' },
    },
  } as const,
});
const [suite = '', kills = '50'] = positionals;
const runs: Readonly<Record<string, () => Promise<{ passed: number; failed: number }>>> = {
  engine: () => chaosEngine(Number(kills)),
  'engine-threads': () => chaosEngine(Number(kills), 2),
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
};
const run = runs[suite];
if (run === undefined) {
  process.stderr.write(USAGE);
  process.exit(2);
}
const { passed, failed } = await run();
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exit(failed > 0 ? 1 : 0);
