import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'headwater/client';
import { bootstrapInterval, PlatformProcess, quantile } from 'headwater/testing';
import type { EntityPredictions } from 'headwater/workflows';
import { makePortfolio } from '../credit_generator.ts';
import { creditView } from '../features/credit.ts';
import { areaUnderCurve, REASONS, reasonsOf, scoreOf } from '../reason_codes.ts';

// Updates of a year → features → probability of default, score and reasons; `npm run case`.

const LINES = 800;

interface Explained {
  readonly outputs: readonly { readonly output: string; readonly contributions: Readonly<Record<string, number>> }[];
}

interface Judged {
  readonly line: string;
  readonly risk: number;
  /** The formula's score with its sign turned: higher for a higher risk. */
  readonly byFormula: number;
  readonly isDefault: boolean;
}

const lines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

test('credit lines are scored', { timeout: 600_000 }, async () => {
  const startedMs = Date.now();
  const folder = await mkdtemp(join(tmpdir(), 'credit-'));
  const data = join(folder, 'data');
  const { updates, outcomes } = makePortfolio(LINES, startedMs, 1);
  // What comes after the newest month is not known when the model is trained; it judges the model.
  const newest = outcomes.reduce((last, { event_time: at }) => (at > last ? at : last), '');
  const known = outcomes.filter(({ event_time: at }) => Date.parse(at) + 90 * 86_400_000 <= Date.parse(newest));
  const events = join(folder, 'updates.jsonl');
  const labels = join(folder, 'defaults.jsonl');
  await writeFile(events, lines(updates));
  await writeFile(labels, lines(known));
  await PlatformProcess.command(data, ['features', 'backfill', '--view', 'credit@1', '--in', events]);
  const trained = await PlatformProcess.command(data, [
    ...['models', 'train', 'credit_default', '--labels-file', labels, '--register'],
  ]);
  console.log(trained.split('\n').find((line) => line.startsWith('judged on')) ?? '');
  await PlatformProcess.command(data, ['models', 'promote', 'credit_default', '1']);

  const platform = await PlatformProcess.start(data);
  try {
    const { gateway, features, serving } = platform.urls;
    const client = createClient({ gatewayUrl: gateway, featuresUrl: features, servingUrl: serving });
    const explain = async (line: string): Promise<readonly string[]> => {
      const answer = await fetch(`${serving}/explain`, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
        body: JSON.stringify({ model_name: 'credit_default', entity_id: line }),
      });
      assert.ok(answer.ok, await answer.clone().text());
      const { outputs } = (await answer.json()) as Explained;
      return reasonsOf((outputs.find(({ output }) => output === 'defaults') ?? outputs[0])?.contributions ?? {});
    };
    const riskOf = async (line: string): Promise<number> => {
      const { probabilities } = await client.predictions.predict({
        ...{ model: 'credit_default', entity: line, returnProbabilities: true },
      });
      return probabilities?.defaults as number;
    };

    const latencies: number[] = [];
    const judged: Judged[] = [];
    for (const { credit_line_id: line, label } of outcomes.filter(({ event_time: at }) => at === newest)) {
      const sentMs = performance.now();
      const risk = await riskOf(line);
      latencies.push(performance.now() - sentMs);
      const row = await client.features.of(creditView).get(line);
      judged.push({ line, risk, byFormula: -(row?.credit_score_input as number), isDefault: label === 1 });
    }
    const riskiest = [...judged].sort((a, b) => b.risk - a.risk).slice(0, 3);
    const shown = [];
    for (const { line, risk } of riskiest) {
      const reasons = await explain(line);
      assert.ok(reasons.length > 0, line);
      for (const reason of reasons) assert.ok(Object.values(REASONS).includes(reason));
      shown.push({ line, score: scoreOf(risk), reasons: reasons.join(' ') });
    }
    console.table(shown);

    // One payment that is 60 days late changes the next score, and is among its reasons.
    const { line, risk: before } = [...judged].sort((a, b) => a.risk - b.risk)[0] as Judged;
    await client.ingest.send({
      ...{ event_id: 'late', user_id: line, event_type: 'credit_update', timestamp: new Date().toISOString() },
      ...{ credit_line_id: line, kind: 'payment', balance: 5_000, credit_limit: 5_000, days_past_due: 60 },
    });
    let after = before;
    for (let tries = 0; tries < 200 && after === before; tries += 1) {
      await sleep(50);
      after = await riskOf(line);
    }
    assert.ok(after > before, `${after} after ${before}`);
    const reasons = await explain(line);
    console.log(`${line}: score ${scoreOf(before)}, ${scoreOf(after)} after a late payment: ${reasons.join(' ')}`);

    // The nightly workflow: the contract holds, and every line has a risk.
    const night = (await PlatformProcess.runWorkflow(data, 'score')) as EntityPredictions;
    assert.deepEqual([night.rows, night.refused, night.version], [LINES, 0, 1]);
    console.log(`${night.rows} lines have a risk in ${night.path.slice(data.length + 1)}`);

    const area = (of: (each: Judged) => number) =>
      bootstrapInterval(judged, (drawn) => areaUnderCurve(drawn.map((each) => ({ ...each, risk: of(each) }))));
    const gain = bootstrapInterval(
      judged,
      (drawn) => areaUnderCurve(drawn) - areaUnderCurve(drawn.map((each) => ({ ...each, risk: each.byFormula }))),
    );
    console.log(
      `better than the formula by ${gain.estimate.toFixed(3)} [${gain.low.toFixed(3)}, ${gain.high.toFixed(3)}]`,
    );
    const result = {
      ...{ case: 'credit', events: updates.length, features: 'credit@1', model: 'boosted trees', metric: 'AUC' },
      ...area(({ risk }) => risk),
      baseline: { name: 'formula', ...area(({ byFormula }) => byFormula) },
      ...{ p95Ms: quantile(latencies, 0.95), seconds: (Date.now() - startedMs) / 1_000 },
    };
    assert.ok(result.low > 0.5, JSON.stringify(result));
    console.log(`RESULT ${JSON.stringify(result)}`);
  } finally {
    await platform.terminate();
    await rm(folder, { recursive: true, force: true });
  }
});
