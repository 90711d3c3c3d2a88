import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { callerOf, RequestLimits } from '#connectors/http/request_limits';

test('as many requests of each caller pass in a window as may, by a slow count', () => {
  const steps = fc.array(fc.record({ caller: fc.constantFrom('a', 'b'), waitMs: fc.integer({ min: 0, max: 400 }) }), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(
      steps,
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 1_000 }),
      (calls, requests, windowMs) => {
        let nowMs = 0;
        const limits = new RequestLimits(() => nowMs);
        const started = new Map<string, number>();
        const times: { caller: string; atMs: number }[] = [];
        for (const { caller, waitMs } of calls) {
          nowMs += waitMs;
          // A window begins with the first request after the last one ended.
          const begin = started.get(caller);
          if (begin === undefined || nowMs >= begin + windowMs) started.set(caller, nowMs);
          times.push({ caller, atMs: nowMs });
          const from = started.get(caller) as number;
          const before = times.filter((each) => each.caller === caller && each.atMs >= from).length;
          const counted = limits.count(caller, { requests, windowMs });
          expect(counted.isExceeded).toBe(before > requests);
          expect(counted.remaining).toBe(Math.max(0, requests - before));
        }
      },
    ),
  );
});

test('addresses of one network are one caller', () => {
  expect(callerOf('10.1.2.3')).toBe('10.1.2.3');
  expect(callerOf('::ffff:10.1.2.3')).toBe('10.1.2.3');
  const network = callerOf('2001:db8:1:2::1');
  for (const same of ['2001:DB8:1:2:ffff::', '2001:0db8:0001:0002:3:4:5:6', '2001:db8:1:2::%eth0']) {
    expect(callerOf(same)).toBe(network);
  }
  for (const other of ['2001:db8:1:3::1', '2001:db8::1:2:3', '::1', 'fe80::1'])
    expect(callerOf(other)).not.toBe(network);
  expect(callerOf('::1')).toBe('0:0:0:0::/64');
});
