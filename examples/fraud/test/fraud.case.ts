import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createClient } from 'headwater/client';
import { DAY_MS } from 'headwater/features';
import { binaryMetrics, bootstrapInterval, PlatformProcess, quantile } from 'headwater/testing';
import { generateTransactions } from '../transaction_generator.ts';
import type { Review } from '../workflows/review_nightly.ts';

// Payments of four days → features → risk with adaptive thresholds and explanations → chargebacks a day later; `npm run case`. The model is the one that the project brings along.

const EVENTS = 8_000;
const ACCOUNTS = 400;
const DAYS = 4;
/** Chargebacks are known so long after a payment. */
const LABEL_DELAY_MS = DAY_MS;
const REQUESTS = 200;

/** A payment as the batch has scored it. */
interface Scored {
  readonly entity_key: string;
  readonly event_time: string;
  readonly label: number;
  readonly risk_score: number;
  readonly merchant_category: string;
  readonly count_7d: number;
  readonly probability_fraud: number;
}

interface Predicted {
  readonly prediction: string;
  readonly threshold: number;
  readonly probabilities: Readonly<Record<string, number>>;
}

interface Explained {
  readonly outputs: readonly { readonly output: string; readonly contributions: Readonly<Record<string, number>> }[];
}

function grouped<T>(values: readonly T[], keyOf: (value: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) groups.set(keyOf(value), [...(groups.get(keyOf(value)) ?? []), value]);
  return groups;
}

const lines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

test('fraud is found', { timeout: 600_000 }, async () => {
  const startedMs = Date.now();
  const folder = await mkdtemp(join(tmpdir(), 'fraud-'));
  const data = join(folder, 'data');
  const run = (...args: string[]): Promise<string> => PlatformProcess.command(data, args);
  const payments = generateTransactions({ seed: 11, events: EVENTS, accounts: ACCOUNTS, days: DAYS, endMs: startedMs })
    .filter(({ arrival, timestampMs }) => arrival !== 'invalid' && timestampMs <= startedMs)
    .sort((a, b) => a.timestampMs - b.timestampMs);
  const known = payments.filter(({ timestampMs }) => timestampMs <= startedMs - LABEL_DELAY_MS);
  const files = { events: join(folder, 'payments.jsonl'), labels: join(folder, 'chargebacks.jsonl') };
  await writeFile(files.events, payments.map(({ body }) => `${body}\n`).join(''));
  await writeFile(
    files.labels,
    lines(
      known.map(({ eventId, accountId, timestampMs, isFraud }) => ({
        ...{ account_id: accountId, event_time: new Date(timestampMs).toISOString(), label: isFraud ? 1 : 0 },
        label_id: eventId,
      })),
    ),
  );
  await run('features', 'backfill', '--view', 'fraud@1', '--in', files.events);

  const platform = await PlatformProcess.start(data);
  try {
    // What is known of the payments: judged beside the rule-based score, drawn anew by account.
    const [set, out] = [join(folder, 'set'), join(folder, 'scored')];
    await run('training-sets', 'create', '--service', 'fraud@1', '--labels-file', files.labels, '--out', set);
    const columns = ['entity_key', 'event_time', 'label', 'risk_score', 'merchant_category', 'count_7d'];
    const batch = ['--in', join(set, 'data.csv'), '--out', out, '--format', 'jsonl'];
    await run('predictions', 'batch', 'fraud_detector', ...batch, '--keep', ...columns);
    const [file = ''] = (await readdir(out)).filter((name) => name.endsWith('.jsonl'));
    const scored = (await readFile(join(out, file), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Scored);
    assert.ok(scored.length > 0.9 * known.length, `${scored.length} of ${known.length}`);
    console.log(
      `${scored.length} payments have an outcome; of ${payments.length - known.length} of the last day none is known`,
    );
    const byAccount = [...grouped(scored, ({ entity_key: account }) => account).values()];
    const area = (score: (each: Scored) => number) =>
      bootstrapInterval(byAccount, (drawn) => {
        const rows = drawn.flat();
        return binaryMetrics(
          rows.map(({ label }) => Number(label)),
          rows.map(score),
        ).auc;
      });

    // Online: the threshold that decides is of the category and of the account.
    const { serving } = platform.urls;
    const post = async <T>(path: string, body: object): Promise<T> => {
      const answer = await fetch(`${serving}${path}`, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
      });
      assert.ok(answer.ok, await answer.clone().text());
      return (await answer.json()) as T;
    };
    const newest = new Map(payments.map((each) => [each.accountId, each]));
    const latencies: number[] = [];
    const answers: { readonly account: string; readonly category: string; readonly answer: Predicted }[] = [];
    for (const account of [...newest.keys()].slice(0, REQUESTS)) {
      const sentMs = performance.now();
      const answer = await post<Predicted>('/predict', {
        ...{ model_name: 'fraud_detector', entity_id: account, return_probabilities: true },
      });
      latencies.push(performance.now() - sentMs);
      const { merchant_category: category } = JSON.parse(newest.get(account)?.body ?? '{}') as {
        merchant_category: string;
      };
      answers.push({ account, category, answer });
    }
    const thresholds = grouped(answers, ({ category }) => category);
    console.table(
      [...thresholds].map(([category, of]) => ({
        ...{ category, accounts: of.length },
        thresholds: [...new Set(of.map(({ answer }) => answer.threshold.toFixed(2)))].sort().join(', '),
        fraud: of.filter(({ answer }) => answer.prediction === 'fraud').length,
      })),
    );
    const lowest = (category: string): number =>
      Math.min(...(thresholds.get(category) ?? []).map(({ answer }) => answer.threshold));
    assert.ok(lowest('electronics') < lowest('restaurant') && lowest('restaurant') < lowest('grocery'));
    for (const { answer } of answers)
      assert.equal(answer.prediction === 'fraud', (answer.probabilities.fraud as number) >= answer.threshold);

    // The riskiest account, and what has raised its risk.
    const riskiest = answers.reduce((most, each) =>
      (each.answer.probabilities.fraud as number) > (most.answer.probabilities.fraud as number) ? each : most,
    );
    const { outputs } = await post<Explained>('/explain', {
      model_name: 'fraud_detector',
      entity_id: riskiest.account,
    });
    const reasons = Object.entries(outputs[0]?.contributions ?? {}).sort(([, a], [, b]) => b - a);
    console.log(
      `${riskiest.account}: risk ${riskiest.answer.probabilities.fraud?.toFixed(3)}, raised most by ${reasons
        .slice(0, 3)
        .map(([name]) => name)
        .join(', ')}`,
    );
    assert.ok(reasons.length > 0);

    // Outcomes come in as feedback; the nightly workflow lists whom to look at.
    const client = createClient({ servingUrl: serving });
    const { predictionId } = await client.predictions.predict({ model: 'fraud_detector', entity: riskiest.account });
    const isFraud = newest.get(riskiest.account)?.isFraud === true;
    await client.predictions.feedback({ predictionId, label: isFraud ? 'fraud' : 'legitimate' });
    const review = (await PlatformProcess.runWorkflow(data, 'review')) as Review;
    assert.equal(review.accounts, 50);
    console.log(`${review.accounts} accounts to look at, the first with risk ${review.highest.toFixed(3)}`);
    assert.match(await run('workflows', 'export', 'retrain_fraud_detector'), /"Compare"/);

    const result = {
      ...{ case: 'fraud', events: payments.length, features: 'fraud@1', model: 'boosted trees', metric: 'AUC' },
      ...area(({ probability_fraud: risk }) => Number(risk)),
      baseline: { name: 'rule-based score', ...area(({ risk_score: risk }) => Number(risk)) },
      ...{ p95Ms: quantile(latencies, 0.95), seconds: (Date.now() - startedMs) / 1_000 },
    };
    assert.ok(result.low > result.baseline.high, JSON.stringify(result));
    console.log(`RESULT ${JSON.stringify(result)}`);
  } finally {
    await platform.terminate();
    await rm(folder, { recursive: true, force: true });
  }
});
