import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { cp, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath, projectRoot } from '#kernel/project_root';
import { DAY_MS } from '#kernel/time';
import { isLong } from '../../support/jest/forms.ts';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';

// The example of feedback as a project of its own: its nightly workflow as a whole run, and erasure of a customer in its tables.

const PROGRAM = assetPath('dist/cli/headwater.js');
const folder = mkdtempSync(join(tmpdir(), 'feedback-'));
const project = join(folder, 'feedback');
const data = join(folder, 'data');
const reports = join(folder, 'reports');
const settings = {
  ...{ HEADWATER_PROJECT: project, DATA_DIRECTORY: data, LOG_LEVEL: 'warn', NODE_OPTIONS: '' },
  ...{ FEEDBACK_DATABASE: join(folder, 'database'), FEEDBACK_KEEP_TEXT: 'true', FEEDBACK_REPORTS: reports },
};
const run = async (...args: string[]): Promise<string> => {
  const env = { ...process.env, ...settings };
  return (await promisify(execFile)(process.execPath, [PROGRAM, ...args], { cwd: project, env })).stdout;
};

const COMMENTS = {
  en: ['The parcel arrived two days late.', 'The app is easy to use.', 'A fair price for a good pan.'],
  es: ['El paquete llegó dos días tarde.', 'La aplicación es fácil de usar.', 'Un precio justo para una buena sartén.'],
} as const;

/** Comments of a month, half of them in each language; those of the last day may be in one. */
async function writeHistory(file: string, endMs: number, newest: readonly (keyof typeof COMMENTS)[]): Promise<void> {
  const lines = Array.from({ length: 240 }, (_, at) => {
    const isNew = at >= 180;
    const language = isNew ? (newest[at % newest.length] ?? 'en') : at % 2 === 0 ? 'en' : 'es';
    const time = endMs - (isNew ? (240 - at) * 60_000 : 2 * DAY_MS + (180 - at) * 3_600_000);
    return JSON.stringify({
      ...{ event_type: 'feedback', feedback_id: `f${file.length}-${at}`, customer_id: `c${at}` },
      ...{ text: COMMENTS[language][Math.floor(at / 2) % 3], at: new Date(time).toISOString() },
    });
  });
  await writeFile(file, `${lines.join('\n')}\n`);
}

beforeAll(async () => {
  await cp(assetPath('examples/feedback'), project, { recursive: true });
  await mkdir(join(project, 'node_modules'), { recursive: true });
  await symlink(projectRoot.replace(/\/$/, ''), join(project, 'node_modules/headwater'));
  const { dependencies } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  for (const name of Object.keys(dependencies).filter((each) => each !== 'headwater')) {
    await mkdir(join(project, 'node_modules', name, '..'), { recursive: true });
    await symlink(assetPath(`node_modules/${name}`), join(project, 'node_modules', name));
  }
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

test('the nightly workflow runs as a whole, reports with pictures, and, in the long form, fails where languages have changed; erasure reaches the tables', async () => {
  const endMs = Date.now();
  const events = join(folder, 'usual.jsonl');
  await writeHistory(events, endMs, ['en', 'es']);
  await run('features', 'backfill', '--view', 'customer_feedback@1', '--in', events);
  const platform = await PlatformProcess.start(data, settings);
  try {
    const night = async (): Promise<Record<string, unknown>> =>
      JSON.parse(await run('workflows', 'run', 'evaluate', '--input', '{}', '--wait', '--json')) as Record<
        string,
        unknown
      >;
    /** Nights, until one has all of the comments that were posted. */
    const changedNight = async (): Promise<void> => {
      for (let tries = 0; tries < 10; tries += 1) await PlatformProcess.runWorkflow(data, 'evaluate', {}, settings);
    };
    expect(await night()).toMatchObject({ status: 'succeeded', output: { now: 60, before: 180 } });
    const report = join(reports, `date=${new Date(endMs).toISOString().slice(0, 10)}`);
    const page = readFileSync(join(report, 'report.html'), 'utf8');
    for (const part of ['Detection', 'Languages', 'Topics', 'Adverse events']) expect(page).toContain(part);
    expect(page).toContain('<svg');
    expect(readFileSync(join(report, 'report.md'), 'utf8')).toMatch(/!\[Languages\]\(chart_\d\.svg\)/);
    expect(existsSync(join(report, 'chart_1.svg'))).toBe(true);

    if (isLong) {
      // A day on which nearly all comments are in Spanish, through the gateway.
      const at = new Date().toISOString();
      for (let number = 0; number < 150; number += 1) {
        const text = COMMENTS.es[number % 3];
        const event = { event_type: 'feedback', feedback_id: `s${number}`, customer_id: `s${number}`, text, at };
        const taken = await fetch(`${platform.urls.gateway}/ingest`, { method: 'POST', body: JSON.stringify(event) });
        expect(taken.status).toBe(202);
      }
      await expect(changedNight()).rejects.toThrow(/language (?:es|en) from 0\.50/);
    }

    const asked = await fetch(`${platform.urls.serving}/insights`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
      body: JSON.stringify({ text: 'The charger got so hot that it burned my hand.', customer_id: 'c7' }),
    });
    expect(await asked.json()).toMatchObject({ adverse_event_detected: true });
  } finally {
    await platform.terminate();
  }

  const counts = JSON.parse(await run('entities', 'erase', 'customer:c7', '--dry-run')) as Record<string, unknown>;
  expect(counts).toMatchObject({ feedback: 2 });
  expect(await run('entities', 'export', 'customer:c7')).toContain('burned my hand');
  expect(JSON.parse(await run('entities', 'erase', 'customer:c7', '--yes'))).toMatchObject({
    erased: true,
    feedback: 2,
  });
  expect(JSON.parse(await run('entities', 'erase', 'customer:c7', '--dry-run'))).toMatchObject({ feedback: 0 });
}, 480_000);
