import { chaosEngine } from './chaos/engine.ts';

// npm run test:chaos -- SUITE [KILLS]
const SUITES: Readonly<Record<string, (kills: number) => Promise<{ passed: number; failed: number }>>> = {
  engine: chaosEngine,
  'engine-threads': (kills) => chaosEngine(kills, 2),
};
const [suite = '', kills = '50'] = process.argv.slice(2);
const run = SUITES[suite];
if (run === undefined) {
  process.stderr.write(`usage: npm run test:chaos -- SUITE [KILLS]; suites are ${Object.keys(SUITES).join(', ')}\n`);
  process.exit(2);
}
const { passed, failed } = await run(Number(kills));
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 ? 1 : 0;
