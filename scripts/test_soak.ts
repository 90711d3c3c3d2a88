import { soakEngine } from './soak/engine_soak.ts';
import { soakPlatform } from './soak/platform_soak.ts';
import { soakSlowSink } from './soak/slow_sink_soak.ts';
import type { Soak } from './soak/soak.ts';

// npm run test:soak -- SUITE [SECONDS]: something that runs and runs, its memory sampled every ten seconds. Passes when the last third of the
// run takes no more than 10 % or 20 MB above the second third. SUITE platform: everything, under traffic, each part killed once.

const SUITES: Readonly<Record<string, () => Promise<Soak>>> = { engine: soakEngine, 'slow-sink': soakSlowSink };
const SAMPLE_MS = 10_000;
const SLACK_MB = 20;

const [suite = '', seconds = suite === 'platform' ? '900' : '600'] = process.argv.slice(2);
if (suite === 'platform') {
  const { passed, failed } = await soakPlatform(Number(seconds));
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  process.exit(failed === 0 ? 0 : 1);
}
const begin = SUITES[suite];
if (begin === undefined) {
  process.stderr.write(
    `usage: npm run test:soak -- SUITE [SECONDS]; suites are platform, ${Object.keys(SUITES).join(', ')}\n`,
  );
  process.exit(2);
}
const soak = await begin();
const samples: number[] = [];
const startedMs = Date.now();
const sampler = setInterval(() => {
  const rssMb = process.memoryUsage().rss / 1e6;
  samples.push(rssMb);
  const elapsed = (Date.now() - startedMs) / 1_000;
  const rate = (soak.events() / elapsed / 1e6).toFixed(3);
  process.stdout.write(`${elapsed.toFixed(0)} s: ${rssMb.toFixed(0)} MB, ${rate} M events/s\n`);
}, SAMPLE_MS);
await new Promise((resolve) => setTimeout(resolve, Number(seconds) * 1_000));
clearInterval(sampler);
const events = soak.events();
await soak.stop();
const third = Math.floor(samples.length / 3);
const peak = (part: readonly number[]): number => Math.max(...part);
const [middle, last] = [peak(samples.slice(third, 2 * third)), peak(samples.slice(2 * third))];
const isFlat = last <= Math.max(middle * 1.1, middle + SLACK_MB);
process.stdout.write(
  `${events} events; second third at most ${middle.toFixed(0)} MB, last third ${last.toFixed(0)} MB\n`,
);
process.stdout.write(`${isFlat ? 1 : 0} passed, ${isFlat ? 0 : 1} failed\n`);
process.exit(isFlat ? 0 : 1);
