import { execFileSync } from 'node:child_process';
import { expect, test } from '@jest/globals';

const NOON = Date.UTC(2026, 6, 1, 12);
const TEXTS = [
  ...[
    '2026-07-01T12:00:00',
    '2026-07-01 12:00:00',
    '2026-07-01T12:00',
    '2026-07-01 12:00:00+00',
    '2026-07-01T14:00:00+02:00',
  ],
  ...['2026-07-01 14:00:00+02', '2026-07-01 07:00:00-0500', '2026-07-01T12:00:00.000999', '2026-07-01t12:00:00z'],
];

test.each(['America/New_York', 'Asia/Kolkata', 'UTC'])('a time without a zone is UTC on a machine in %s', (zone) => {
  const script = `
    import { parseUtcTime } from './dist/kernel/times/utc_time.js';
    console.log(JSON.stringify([new Date(2026, 6, 1).getTimezoneOffset(), ...${JSON.stringify(TEXTS)}.map(parseUtcTime)]));`;
  const options = { env: { ...process.env, TZ: zone, NODE_OPTIONS: '' }, encoding: 'utf8' } as const;
  const output = execFileSync(process.execPath, ['--input-type=module', '--eval', script], options);
  const [offset, ...times] = JSON.parse(output) as number[];
  // The machine is in that zone.
  expect(offset === 0).toBe(zone === 'UTC');
  expect(times).toEqual(TEXTS.map(() => NOON));
});
