import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'headwater/client';
import { bootstrapInterval, PlatformProcess, quantile } from 'headwater/testing';
import { makeClaims } from '../claims_generator.ts';
import type { Decision, Triage } from '../triage.ts';
import type { DayOfDecisions } from '../workflows/decide_daily.ts';

// Claims as they are reported → features → broken rules → decisions with evidence; `npm run case`.

const POLICIES = 600;
const A_BATCH = 500;

interface Judged {
  readonly policy: string;
  readonly breach: string | undefined;
  readonly triage: Triage;
}

test('claims are triaged', { timeout: 600_000 }, async () => {
  const startedMs = Date.now();
  const folder = await mkdtemp(join(tmpdir(), 'claims-'));
  const { claims, breaches } = makeClaims(POLICIES, startedMs, 1);
  const newest = new Map(claims.map(({ policy_id: policy, claim_id: id }) => [policy, id]));
  const platform = await PlatformProcess.start(join(folder, 'data'));
  try {
    const { gateway, features } = platform.urls;
    const client = createClient({ gatewayUrl: gateway, featuresUrl: features });
    for (let from = 0; from < claims.length; from += A_BATCH) {
      const { accepted } = await client.ingest.sendBatch(
        claims.slice(from, from + A_BATCH).map((each) => ({ ...each })),
      );
      assert.equal(accepted, Math.min(A_BATCH, claims.length - from));
    }
    const triage = async (policies: readonly string[]): Promise<readonly (Triage | null)[]> => {
      const answer = await fetch(`${features}/triage`, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ policies }) },
      });
      assert.ok(answer.ok, await answer.clone().text());
      return ((await answer.json()) as { decisions: readonly (Triage | null)[] }).decisions;
    };
    const latencies: number[] = [];
    const judged: Judged[] = [];
    for (const [policy, breach] of breaches) {
      for (let tries = 0; ; tries += 1) {
        const sentMs = performance.now();
        const [decided] = await triage([policy]);
        const tookMs = performance.now() - sentMs;
        if (decided != null && decided.claim_id === newest.get(policy)) {
          latencies.push(tookMs);
          judged.push({ policy, breach, triage: decided });
          break;
        }
        assert.ok(tries < 400, `${policy} has no decision on ${newest.get(policy)}`);
        await sleep(50);
      }
    }
    assert.deepEqual(await triage(['unknown']), [null]);

    // The nightly workflow: the contract holds, and each claim of the last day has the decision that was answered.
    const day = (await PlatformProcess.runWorkflow(join(folder, 'data'), 'decide')) as DayOfDecisions;
    const kept = (await readFile(day.path, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Triage);
    const answered = new Map(judged.map(({ triage: of }) => [of.claim_id, of]));
    const both = kept.filter(({ claim_id: id }) => answered.has(id));
    assert.ok(both.length > 10 && kept.length === day.reject + day.review + day.pay, JSON.stringify(day));
    for (const each of both) assert.deepEqual(each, answered.get(each.claim_id));
    console.log(`decisions of the last day: ${day.reject} reject, ${day.review} review, ${day.pay} pay`);

    const rules = [...new Set(judged.flatMap((each) => each.triage.rules))].sort();
    console.table(
      [...rules, 'none'].map((rule) => {
        const of = judged.filter((each) =>
          rule === 'none' ? each.triage.rules.length === 0 : each.triage.rules.includes(rule),
        );
        const count = (decision: Decision): number => of.filter((each) => each.triage.decision === decision).length;
        return { rule, claims: of.length, reject: count('reject'), review: count('review'), pay: count('pay') };
      }),
    );
    const clean = judged.filter(({ breach }) => breach === undefined);
    assert.ok(
      clean.every((each) => each.triage.decision === 'pay'),
      'a clean claim is flagged',
    );
    console.log(`evidence: ${JSON.stringify(judged.find(({ breach }) => breach !== undefined)?.triage)}`);

    // Without rules, as many claims are looked at: the largest.
    const flagged = judged.filter((each) => each.triage.rules.length > 0);
    const bySize = [...judged].sort((a, b) => Number(b.triage.evidence.amount) - Number(a.triage.evidence.amount));
    const largest = new Set(bySize.slice(0, flagged.length).map(({ policy }) => policy));
    const broken = judged.filter(({ breach }) => breach !== undefined);
    const share = (isFound: (each: Judged) => boolean) =>
      bootstrapInterval(broken, (drawn) => drawn.filter(isFound).length / drawn.length);
    const result = {
      ...{ case: 'claims', events: claims.length, features: 'claim@1', model: 'five rules' },
      ...{ metric: 'breaches found', ...share((each) => each.triage.rules.includes(each.breach ?? '')) },
      baseline: { name: 'largest claims', ...share(({ policy }) => largest.has(policy)) },
      ...{ p95Ms: quantile(latencies, 0.95), seconds: (Date.now() - startedMs) / 1_000 },
    };
    assert.equal(result.estimate, 1);
    console.log(`RESULT ${JSON.stringify(result)}`);
  } finally {
    await platform.terminate();
    await rm(folder, { recursive: true, force: true });
  }
});
