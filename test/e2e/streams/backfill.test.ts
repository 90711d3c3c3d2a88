import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { DAY_MS, HOUR_MS } from '#kernel/time';
import { isLong } from '../../support/jest/forms.ts';
import { type CommandOutcome, commandEnvironment, runCommand } from '../../support/platforms/command_line.ts';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';

// Back-fill as a user runs it: with nothing to use, beside a platform that runs, killed and run again.

const NOW = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
/** A snapshot of some entities takes more. */
const STATE_BYTES = 4_096;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'backfill-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const transaction = (id: string, account: string, atMs: number, fields: object = {}) => ({
  event_id: id,
  user_id: account,
  event_type: 'transaction',
  timestamp: new Date(atMs).toISOString(),
  account_id: account,
  amount: 1,
  currency: 'EUR',
  merchant_id: 'm1',
  merchant_category: 'grocery',
  country: 'DE',
  ...fields,
});

const jsonLines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
const countsIn = ({ stdout }: CommandOutcome) =>
  JSON.parse(stdout.trim().split('\n').at(-1) as string) as Record<string, number>;

test('a back-fill that used nothing fails and names the most frequent reasons with their counts', async () => {
  const nothing = await runCommand(folder, ['features', 'backfill', '--in', 'absent/*.jsonl', '--view', 'fraud@1']);
  expect(nothing).toMatchObject({ code: 1, stderr: expect.stringMatching(/no file with events matches absent/) });
  const bad = Array.from({ length: 30 }, (_, index) =>
    index < 20
      ? transaction(`b${index}`, 'a', NOW - DAY_MS, { amount: 'much' })
      : { ...transaction(`b${index}`, 'a', NOW - DAY_MS), event_type: 'trade' },
  );
  writeFileSync(join(folder, 'bad.jsonl'), jsonLines(bad));
  const refused = await runCommand(folder, ['features', 'backfill', '--in', 'bad.jsonl', '--view', 'fraud@1']);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/none of the 30 events in bad\.jsonl could be used/);
  expect(refused.stderr).toMatch(
    /20 × amount: .*\n[\s\S]*10 × unknown event_type "…"\n\s+such as: unknown event_type "trade"/,
  );
}, 120_000);

// plan_apply.test.ts kills the back-fill of an apply in the same way.
const inLongForm = isLong ? test : test.skip;

inLongForm(
  'beside a platform that runs, killed with -9 and run again: resumed, complete, and nothing known before changes',
  async () => {
    const data = join(folder, 'data');
    const platform = await PlatformProcess.start(data);
    try {
      const live = transaction('live', 'a0', NOW - HOUR_MS);
      await fetch(`${platform.urls.gateway}/ingest`, { method: 'POST', body: JSON.stringify(live) });
      const count = async () => {
        const answer = await fetch(`${platform.urls.features}/features/a0?entity=account`);
        if (!answer.ok) return undefined;
        const { features } = (await answer.json()) as { features: Record<string, { value: unknown }> };
        return features.count_7d?.value;
      };
      for (let tries = 0; tries < 100 && (await count()) === undefined; tries += 1) await sleep(200);
      expect(await count()).toBe(1);

      const history = join(folder, 'history');
      mkdirSync(history);
      const files = 40;
      for (let file = 0; file < files; file += 1) {
        const rows = Array.from({ length: 500 }, (_, index) => {
          const nth = file * 500 + index;
          return transaction(`h${nth}`, `a${nth % 50}`, NOW - 3 * DAY_MS + nth * 10_000);
        });
        writeFileSync(join(history, `${String(file).padStart(2, '0')}.jsonl`), jsonLines(rows));
      }
      const args = ['features', 'backfill', '--in', 'history/*.jsonl', '--view', 'fraud@1'];
      const killed = spawn(process.execPath, [assetPath('dist/cli/headwater.js'), ...args], {
        ...{ cwd: folder, env: commandEnvironment(folder), stdio: 'ignore' },
      });
      const ended = new Promise((resolve) => killed.once('exit', resolve));
      const snapshots = (): string[] => {
        const backfills = join(data, 'backfills');
        if (!existsSync(backfills)) return [];
        return readdirSync(backfills).flatMap((name) =>
          readdirSync(join(backfills, name))
            .filter((file) => /^snapshot-\d+\.bin$/.test(file))
            .map((file) => join(backfills, name, file)),
        );
      };
      // On a slow machine the first snapshots are of before the first event.
      const sizes = () => snapshots().map((file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0);
      while (!sizes().some((size) => size > STATE_BYTES) && killed.exitCode === null) await sleep(20);
      killed.kill('SIGKILL');
      await ended;
      const resumed = await runCommand(folder, args);
      expect(resumed).toMatchObject({ code: 0, stderr: '' });
      const counts = countsIn(resumed);
      expect(counts.events).toBeGreaterThanOrEqual(files * 500);
      expect(counts.resumed_after).toBeGreaterThan(0);
      expect(counts.rows_of_events).toBe((counts.events as number) - (counts.resumed_after as number));
      expect(resumed.stdout).toMatch(/the stream has taken over the state of 50 entities/);
      expect(snapshots()).toEqual([]);
      const becomes = async (expected: number): Promise<void> => {
        for (let tries = 0; tries < 100 && (await count()) !== expected; tries += 1) await sleep(200);
        expect(await count()).toBe(expected);
      };
      await becomes(401);
      // The stream counts on from there: 400 of the history, the one before, and this.
      await fetch(`${platform.urls.gateway}/ingest`, {
        method: 'POST',
        body: JSON.stringify(transaction('live2', 'a0', NOW - HOUR_MS / 2)),
      });
      await becomes(402);
      // The same once more, with nothing to resume.
      expect(countsIn(await runCommand(folder, args))).toMatchObject({ resumed_after: 0, duplicates: 0 });
      await becomes(402);
    } finally {
      await platform.terminate();
    }
  },
  600_000,
);
