import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createClient } from 'headwater/client';
import { DAY_MS } from 'headwater/features';
import { binaryMetrics, bootstrapInterval, PlatformProcess, quantile } from 'headwater/testing';
import type { EntityPredictions } from 'headwater/workflows';
import { makeEvents, SILENCE_MS, silencesAt } from '../activity_generator.ts';
import { checkActivity, lineOf } from '../live_check.ts';

// Events of ten weeks → features → who is silent for the next 14 days, by two versions in an experiment → twelve checks; `npm run case`.

const USERS = 700;
const DAYS = 70;
/** Days before now as of which users are labelled: what was silent for the 14 days after is known. */
const KNOWN_DAYS_AGO = [28, 21, 14];
/** Of these the older version was trained. */
const OLDER_DAYS_AGO = KNOWN_DAYS_AGO.slice(0, 1);
const REQUESTS = 200;

interface Scored {
  readonly entity_key: string;
  readonly label: number;
  readonly seconds_since_last_event: number;
  readonly probability_leaves: number;
}

interface Results {
  readonly variants: readonly { readonly variant: string; readonly outcomes: number; readonly mean: number }[];
  readonly sample_ratio?: { readonly mismatch: boolean };
}

const lines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

test('users who leave are found', { timeout: 600_000 }, async () => {
  const startedMs = Date.now();
  const folder = await mkdtemp(join(tmpdir(), 'activity-'));
  const data = join(folder, 'data');
  const run = (...args: string[]): Promise<string> => PlatformProcess.command(data, args);
  // The 14 days that begin now are made as well: what users did in them is known to nothing but the judgement.
  const all = makeEvents(USERS, DAYS + SILENCE_MS / DAY_MS, startedMs + SILENCE_MS, 3);
  const events = all.filter(({ timestamp }) => Date.parse(timestamp) <= startedMs);
  const outcomes = silencesAt(all, startedMs);
  const labelsOf = async (name: string, daysAgo: readonly number[]): Promise<string> => {
    const file = join(folder, `${name}.jsonl`);
    await writeFile(file, lines(daysAgo.flatMap((days) => silencesAt(events, startedMs - days * DAY_MS))));
    return file;
  };
  assert.ok(KNOWN_DAYS_AGO.every((days) => days * DAY_MS >= SILENCE_MS));
  const files = {
    ...{ events: join(folder, 'events.jsonl'), older: await labelsOf('older', OLDER_DAYS_AGO) },
    ...{ known: await labelsOf('known', KNOWN_DAYS_AGO), judged: join(folder, 'judged.jsonl') },
  };
  await writeFile(files.judged, lines(outcomes));
  await writeFile(files.events, lines(events));
  for (const view of ['user_activity@2', 'recommendation@1'])
    await run('features', 'backfill', '--view', view, '--in', files.events);
  for (const labels of [files.older, files.known]) {
    const trained = await run('models', 'train', 'churn', '--labels-file', labels, '--register');
    console.log(trained.split('\n').find((line) => line.startsWith('judged on')) ?? '');
  }
  await run('models', 'promote', 'churn', '1', '--force');
  await run('models', 'promote', 'churn', '2', '--stage', 'Staging', '--force');

  // Users of now, judged by what they do in the next 14 days.
  const set = join(folder, 'set');
  await run('training-sets', 'create', '--service', 'churn_risk@1', '--labels-file', files.judged, '--out', set);
  const scoredBy = async (version: string): Promise<readonly Scored[]> => {
    const out = join(folder, `scored-${version}`);
    const batch = ['--in', join(set, 'data.csv'), '--out', out, '--format', 'jsonl', '--model-version', version];
    await run(
      ...['predictions', 'batch', 'churn', ...batch],
      ...['--keep', 'entity_key', 'label', 'seconds_since_last_event'],
    );
    const found = (await readdir(out)).filter((name) => name.endsWith('.jsonl'));
    const files = await Promise.all(found.map((name) => readFile(join(out, name), 'utf8')));
    return files.flatMap((file) => file.trim().split('\n')).map((line) => JSON.parse(line) as Scored);
  };
  const [older, newer] = await Promise.all([scoredBy('1'), scoredBy('2')]);
  const area = (drawn: readonly Scored[], score: (each: Scored) => number): number =>
    binaryMetrics(
      drawn.map(({ label }) => Number(label)),
      drawn.map((each) => score(each)),
    ).auc;
  const byModel = ({ probability_leaves: leaves }: Scored): number => Number(leaves);
  const byRecency = ({ seconds_since_last_event: seconds }: Scored): number => Number(seconds);
  const leaving = newer.filter(({ label }) => Number(label) === 1).length;
  const versions = bootstrapInterval(older, (drawn) => area(drawn, byModel));
  const gain = bootstrapInterval(newer, (drawn) => area(drawn, byModel) - area(drawn, byRecency));
  console.log(`${leaving} of ${newer.length} users left; AUC of the older version ${versions.estimate.toFixed(3)}`);
  console.log(`better than recency by ${gain.estimate.toFixed(3)} [${gain.low.toFixed(3)}, ${gain.high.toFixed(3)}]`);

  const platform = await PlatformProcess.start(data);
  try {
    const { gateway, features, serving } = platform.urls;
    const client = createClient({ gatewayUrl: gateway, featuresUrl: features, servingUrl: serving });
    const truth = new Map(outcomes.map((each) => [each.user_id, each.label]));
    const latencies: number[] = [];
    const predicted: { readonly id: string; readonly variant: string; readonly user: string }[] = [];
    for (const user of [...truth.keys()].slice(0, REQUESTS)) {
      const sentMs = performance.now();
      const { predictionId: id, variant } = await client.predictions.predict({ model: 'churn', entity: user });
      latencies.push(performance.now() - sentMs);
      predicted.push({ id, variant, user });
    }
    const ofControl = predicted.filter(({ variant }) => variant === 'control').length;
    assert.ok(ofControl > 0.35 * REQUESTS && ofControl < 0.65 * REQUESTS, `${ofControl} of ${REQUESTS}`);
    // As it is known two weeks later.
    for (const { id, user } of predicted)
      await client.predictions.feedback({ predictionId: id, label: truth.get(user) === 1 ? 'leaves' : 'stays' });
    const results = JSON.parse(
      await run('models', 'results', 'churn', '--url', serving, '--outcome', 'correct', '--json'),
    ) as Results;
    console.table(results.variants);
    assert.equal(
      results.variants.reduce((sum, { outcomes }) => sum + outcomes, 0),
      REQUESTS,
    );

    const night = (await PlatformProcess.runWorkflow(data, 'churn')) as EntityPredictions;
    assert.deepEqual([night.refused, night.version], [0, 1]);
    console.log(`${night.rows} users have a risk in ${night.path.slice(data.length + 1)}`);

    const checks = await checkActivity(platform.urls);
    for (const each of checks) console.log(lineOf(each));
    assert.deepEqual([checks.length, checks.filter(({ passed }) => !passed)], [12, []]);
    // One that is broken is named, and no other.
    const gone = `http://127.0.0.1:${await PlatformProcess.freePort()}`;
    const broken = await checkActivity({ ...platform.urls, monitor: gone });
    assert.deepEqual(
      broken.filter(({ passed }) => !passed).map(({ category }) => category),
      ['service health', 'drift detection', 'performance metrics'],
    );

    const result = {
      ...{ case: 'activity', events: events.length, features: 'churn_risk@1', model: 'boosted trees', metric: 'AUC' },
      ...bootstrapInterval(newer, (drawn) => area(drawn, byModel)),
      baseline: { name: 'recency', ...bootstrapInterval(newer, (drawn) => area(drawn, byRecency)) },
      ...{ p95Ms: quantile(latencies, 0.95), seconds: (Date.now() - startedMs) / 1_000 },
    };
    assert.ok(gain.low > 0, JSON.stringify({ result, gain }));
    console.log(`RESULT ${JSON.stringify(result)}`);
  } finally {
    await platform.terminate();
    await rm(folder, { recursive: true, force: true });
  }
});
