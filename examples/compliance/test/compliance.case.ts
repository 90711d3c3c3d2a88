import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'headwater/client';
import { bootstrapInterval, PlatformProcess, quantile } from 'headwater/testing';
import { type Alert, alertOf, sha256 } from '../alerts.ts';
import { RULES, transferView } from '../features/transfers.ts';
import { htmlReport, markdownReport } from '../report.ts';
import { makeTransfers } from '../transfers_generator.ts';

// Transfers → features → broken rules → alerts with the events that prove them → a report; `npm run case`.

const CUSTOMERS = 300;
const A_BATCH = 500;
/** Where the report is kept: below the folder of the project. */
const REPORTS = '.headwater/reports';

test('broken rules become alerts with evidence', { timeout: 600_000 }, async () => {
  const startedMs = Date.now();
  const folder = await mkdtemp(join(tmpdir(), 'compliance-'));
  const { transfers, breaches } = makeTransfers(CUSTOMERS, startedMs, 1);
  const newest = new Map(transfers.map(({ customer_id: customer, transfer_id: id }) => [customer, id]));
  const platform = await PlatformProcess.start(join(folder, 'data'));
  try {
    const { gateway, features } = platform.urls;
    const client = createClient({ gatewayUrl: gateway, featuresUrl: features });
    for (let from = 0; from < transfers.length; from += A_BATCH) {
      const batch = transfers.slice(from, from + A_BATCH).map((each) => ({ ...each }));
      assert.equal((await client.ingest.sendBatch(batch)).accepted, batch.length);
    }
    const latencies: number[] = [];
    const rows = new Map<string, Readonly<Record<string, unknown>>>();
    for (const customer of breaches.keys()) {
      for (let tries = 0; ; tries += 1) {
        const sentMs = performance.now();
        const row = await client.features.of(transferView).get(customer);
        const tookMs = performance.now() - sentMs;
        if (row?.transfer_id === newest.get(customer)) {
          latencies.push(tookMs);
          rows.set(customer, row as unknown as Readonly<Record<string, unknown>>);
          break;
        }
        assert.ok(tries < 400, `${customer} has no row of ${newest.get(customer)}`);
        await sleep(50);
      }
    }

    await mkdir(join(REPORTS, 'evidence'), { recursive: true });
    const alerts: Alert[] = [];
    for (const [customer, row] of rows) {
      for (const rule of String(row.broken_rules).split(',').filter(Boolean)) {
        const { feature } = RULES.find(({ id }) => id === rule) as (typeof RULES)[number];
        const answer = await fetch(`${features}/why/${customer}/${feature}?view=transfer@1`);
        const evidence = await answer.text();
        assert.ok(answer.ok, evidence);
        const seen = { rule, customer, transfer: String(row.transfer_id), value: Number(row[feature]) };
        const alert = alertOf(seen, evidence);
        await writeFile(join(REPORTS, 'evidence', `${alert.id}.json`), evidence);
        alerts.push(alert);
      }
    }
    // Each alert's evidence is as it was kept, and its events are transfers of the customer.
    const byEvent = new Map(transfers.map((each) => [each.event_id, each.customer_id]));
    for (const { id, customer, evidence, events } of alerts) {
      assert.equal(sha256(await readFile(join(REPORTS, 'evidence', `${id}.json`), 'utf8')), evidence);
      for (const { event_id: event } of events) assert.equal(byEvent.get(event), customer);
    }
    const iso = (ms: number): string => new Date(ms).toISOString();
    const period = {
      ...{
        from: iso(startedMs - 86_400_000),
        until: iso(startedMs),
        transfers: transfers.length,
        customers: rows.size,
      },
    };
    await writeFile(join(REPORTS, 'compliance.md'), markdownReport(alerts, period));
    await writeFile(join(REPORTS, 'compliance.html'), htmlReport(alerts, period));
    console.table(
      RULES.map(({ id, description }) => {
        const raised = alerts.filter(({ rule }) => rule === id);
        const events = raised.reduce((sum, alert) => sum + alert.events.length, 0);
        return { rule: id, description, alerts: raised.length, events };
      }),
    );
    console.log(`report: ${REPORTS}/compliance.html`);

    const clean = new Set([...breaches].filter(([, breach]) => breach === undefined).map(([customer]) => customer));
    assert.deepEqual(
      alerts.filter(({ customer }) => clean.has(customer)),
      [],
      'a customer that breaks no rule has an alert',
    );
    // Without rules, as many customers are looked at: those that move the most money.
    const bySum = [...rows].sort(([, a], [, b]) => Number(b.sum_amount_24h) - Number(a.sum_amount_24h));
    const largest = new Set(bySum.slice(0, alerts.length).map(([customer]) => customer));
    const broken = [...breaches].filter(([, breach]) => breach !== undefined);
    const raised = new Set(alerts.map(({ rule, customer }) => `${customer} ${rule}`));
    const share = (isFound: (each: (typeof broken)[number]) => boolean) =>
      bootstrapInterval(broken, (drawn) => drawn.filter(isFound).length / drawn.length);
    const result = {
      ...{ case: 'compliance', events: transfers.length, features: 'transfer@1', model: 'three rules' },
      ...{ metric: 'breaches found', ...share(([customer, breach]) => raised.has(`${customer} ${breach}`)) },
      baseline: { name: 'most money', ...share(([customer]) => largest.has(customer)) },
      ...{ p95Ms: quantile(latencies, 0.95), seconds: (Date.now() - startedMs) / 1_000 },
    };
    assert.equal(result.estimate, 1);
    console.log(`RESULT ${JSON.stringify(result)}`);
  } finally {
    await platform.terminate();
    await rm(folder, { recursive: true, force: true });
  }
});
