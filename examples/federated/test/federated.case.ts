import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bootstrapInterval, PlatformProcess, quantile } from 'headwater/testing';
import { type Aggregation, accuracyOf, type Row, trainOn, type Weights } from '../federated_averaging.ts';
import { FEATURES, makeClients } from '../rows_generator.ts';

// Five clients → rounds of a workflow → one model, beside a central one and a client alone; `npm run case`.

const CLIENTS = ['north', 'east', 'south', 'west', 'harbour'];
const ROWS = 200;
const ROUNDS = 12;
/** Steps that the central model gets: as many as each client in all rounds. */
const CENTRAL_STEPS = 5 * ROUNDS;
const RATE = 0.5;
const MOST_BEHIND = 0.02;

interface Run {
  readonly status: string;
  readonly error?: string | null;
  readonly cause?: string | null;
  readonly output?: { readonly weights: Weights };
}

test('clients train one model, and their rows stay with them', { timeout: 600_000 }, async () => {
  const startedMs = Date.now();
  const folder = await mkdtemp(join(tmpdir(), 'federated-'));
  const write = async (name: string, clients: ReadonlyMap<string, readonly Row[]>): Promise<void> => {
    for (const [client, rows] of clients) {
      await mkdir(join(folder, name, client), { recursive: true });
      await writeFile(join(folder, name, client, 'rows.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    }
  };
  const { clients, test: held } = makeClients(CLIENTS, ROWS, 1);
  const latencies: number[] = [];

  /** Runs the workflow on the clients of a folder, and returns the model with every message of the run. */
  const federate = async (
    name: string,
    aggregation: Aggregation,
  ): Promise<{ readonly weights: Weights; readonly messages: readonly unknown[] }> => {
    const platform = await PlatformProcess.start(join(folder, `${name}-${aggregation}`), {
      ...{ FEDERATED_CLIENTS: join(folder, name), ROLES: 'monitor' },
    });
    try {
      const runs = `${platform.urls.monitor}/workflows/federated/runs`;
      const input = { clients: CLIENTS, features: FEATURES, rounds: ROUNDS, aggregation };
      const sentMs = performance.now();
      const answer = await fetch(runs, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
        body: JSON.stringify({ id: 'one', input }),
      });
      assert.ok(answer.ok, await answer.clone().text());
      let run: Run = { status: 'queued' };
      while (run.status === 'queued' || run.status === 'running') {
        await sleep(100);
        run = (await (await fetch(`${runs}/one`)).json()) as Run;
      }
      assert.equal(run.status, 'succeeded', JSON.stringify(run));
      latencies.push((performance.now() - sentMs) / ROUNDS);
      const history = (await (await fetch(`${runs}/one/history`)).json()) as unknown;
      return { weights: run.output?.weights as Weights, messages: [history, run] };
    } finally {
      await platform.terminate();
    }
  };

  await write('honest', clients);
  const honest = await federate('honest', 'mean');
  assertRowsStay(honest.messages, [...clients.values()].flat());

  await write('poisoned', makeClients(CLIENTS, ROWS, 1, ['harbour']).clients);
  const models: Readonly<Record<string, Weights>> = {
    federated: honest.weights,
    central: trainOn(
      honest.weights.map(() => 0),
      [...clients.values()].flat(),
      CENTRAL_STEPS,
      RATE,
    ),
    'one client alone': trainOn(
      honest.weights.map(() => 0),
      clients.get('north') ?? [],
      CENTRAL_STEPS,
      RATE,
    ),
    'federated, 1 of 5 poisoned, mean': (await federate('poisoned', 'mean')).weights,
    'federated, 1 of 5 poisoned, median': (await federate('poisoned', 'median')).weights,
  };
  const accuracy = (name: string) => bootstrapInterval(held, (drawn) => accuracyOf(models[name] as Weights, drawn));
  console.table(
    Object.keys(models).map((model) => {
      const { estimate, low, high } = accuracy(model);
      return { model, accuracy: estimate.toFixed(3), '95 %': `${low.toFixed(3)} to ${high.toFixed(3)}` };
    }),
  );
  const result = {
    ...{
      case: 'federated',
      events: CLIENTS.length * ROWS,
      features: `${FEATURES} numbers`,
      model: 'logistic regression',
    },
    ...{ metric: 'accuracy', ...accuracy('federated') },
    baseline: { name: 'central', ...accuracy('central') },
    ...{ p95Ms: quantile(latencies, 0.95), seconds: (Date.now() - startedMs) / 1_000 },
  };
  assert.ok(result.estimate >= result.baseline.estimate - MOST_BEHIND, JSON.stringify(result));
  console.log(`RESULT ${JSON.stringify(result)}`);
  await rm(folder, { recursive: true, force: true });
});

/**
 * Checks every message of a run: a number of no row is in one, and what a client answers has weights and a number of rows, and
 * nothing else.
 */
function assertRowsStay(messages: readonly unknown[], rows: readonly Row[]): void {
  const ofRows = new Set(rows.flatMap(({ features }) => features.map(Math.abs)));
  let updates = 0;
  const check = (value: unknown, path: string): void => {
    if (typeof value === 'number') assert.ok(!ofRows.has(Math.abs(value)), `${path}: ${value} is a number of a row`);
    if (typeof value === 'string')
      for (const [number] of value.matchAll(/\d+\.\d+(?:e-?\d+)?/g)) check(Number(number), path);
    if (typeof value !== 'object' || value === null) return;
    if ('client' in value && 'rows' in value) {
      updates += 1;
      const { client, rows: count, weights, ...rest } = value as Record<string, unknown>;
      assert.deepEqual(
        [typeof client, count, (weights as Weights).length, rest],
        ['string', ROWS, FEATURES + 1, {}],
        path,
      );
    }
    for (const [key, each] of Object.entries(value)) check(each, `${path}.${key}`);
  };
  check(messages, 'messages');
  assert.ok(updates >= CLIENTS.length * ROUNDS, `the history has ${updates} updates of clients`);
}
