import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '#kernel/time';
import { calendarOf, EXCHANGES } from '#workflows/schedules/calendar';
import { CronTimes } from '#workflows/schedules/cron_times';
import { dueTimes } from '#workflows/schedules/due_times';
import { rfc3339, Schedule, type ScheduleSpec } from '#workflows/schedules/schedule';

// The oracle looks at every minute: at what the zone's clocks show, and at what a change of the clocks skips.

const ZONES = [
  ...['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'America/Santiago', 'Africa/Casablanca'],
  ...['Asia/Kolkata', 'Pacific/Apia', 'UTC'],
];

const formats = new Map(
  ZONES.map((zone) => [
    zone,
    new Intl.DateTimeFormat('en-CA', {
      ...{ timeZone: zone, hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit' },
      ...{ hour: '2-digit', minute: '2-digit' },
    }),
  ]),
);

/** What the clocks of a zone show, as if it were UTC. */
function shown(instantMs: number, zone: string): number {
  const format = formats.get(zone) as Intl.DateTimeFormat;
  const parts = Object.fromEntries(format.formatToParts(instantMs).map(({ type, value }) => [type, value]));
  return Date.parse(`${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}:00Z`);
}

function holds(field: string, value: number): boolean {
  return field.split(',').some((part) => {
    const [range = '', step = '1'] = part.split('/');
    const [low, high] = range === '*' ? [0, 99] : [Number(range.split('-')[0]), Number(range.split('-').at(-1))];
    return value >= low && value <= high && (value - (range === '*' ? 0 : low)) % Number(step) === 0;
  });
}

function matches(expression: string, clockMs: number): boolean {
  const [minute = '', hour = '', day = '', month = '', weekday = ''] = expression.split(' ');
  const at = new Date(clockMs);
  const isDay = holds(day, at.getUTCDate());
  const isWeekday = holds(weekday, at.getUTCDay());
  return (
    holds(minute, at.getUTCMinutes()) &&
    holds(hour, at.getUTCHours()) &&
    holds(month, at.getUTCMonth() + 1) &&
    (day === '*' || weekday === '*' ? isDay && isWeekday : isDay || isWeekday)
  );
}

function expectedTimes(expression: string, zone: string, fromMs: number, toMs: number): readonly number[] {
  const isEveryHour = expression.split(' ')[1] === '*';
  const times = new Set<number>();
  const seen = new Set<number>();
  let before = shown(fromMs - 2 * DAY_MS, zone);
  for (let at = fromMs - 2 * DAY_MS; at <= toMs; at += MINUTE_MS) {
    const clock = shown(at, zone);
    // Set forward: what is skipped comes as much later.
    for (let skipped = before + MINUTE_MS; !isEveryHour && skipped < clock; skipped += MINUTE_MS) {
      if (matches(expression, skipped)) times.add(at + (skipped - before - MINUTE_MS));
    }
    if (matches(expression, clock) && (isEveryHour || !seen.has(clock))) times.add(at);
    seen.add(clock);
    before = clock;
  }
  return [...times].filter((time) => time > fromMs && time <= toMs).sort((a, b) => a - b);
}

/** Days around which clocks change, in one zone or another. */
const CHANGES = [
  '2024-03-31',
  '2024-10-27',
  '2024-03-10',
  '2024-11-03',
  '2024-04-06',
  '2024-10-05',
  '2024-09-07',
  '2011-12-30',
];

const expressions = fc
  .tuple(
    fc.constantFrom('0', '30', '15,45', '*/20', '59'),
    fc.constantFrom('*', '0', '1', '2', '3', '*/2', '1-3', '23'),
    fc.constantFrom('*', '*', '30,31', '1-10'),
    fc.constantFrom('*'),
    fc.constantFrom('*', '*', '0', '1-5', '6'),
  )
  .map((fields) => fields.join(' '));

test('times of cron are those that an oracle finds minute by minute, where clocks are set forward and back', () => {
  fc.assert(
    fc.property(
      expressions,
      fc.constantFrom(...ZONES),
      fc.constantFrom(...CHANGES),
      fc.nat(1_440),
      (cron, zone, day, minutes) => {
        const fromMs = Date.parse(`${day}T00:00:00Z`) - DAY_MS + minutes * MINUTE_MS;
        const toMs = fromMs + 2.5 * DAY_MS;
        const times = new CronTimes(cron, zone);
        const found: number[] = [];
        for (let next = times.after(fromMs); next !== undefined && next <= toMs; next = times.after(next))
          found.push(next);
        expect(found.map(rfc3339)).toEqual(expectedTimes(cron, zone, fromMs, toMs).map(rfc3339));
      },
    ),
    { numRuns: 25 },
  );
}, 300_000);

const timesOf = (cron: string, from: string, count: number): readonly string[] => {
  const times = new CronTimes(cron, 'Europe/Berlin');
  const found: string[] = [];
  let at = Date.parse(from);
  while (found.length < count) {
    at = times.after(at) as number;
    found.push(rfc3339(at));
  }
  return found;
};

test('a day has its run where clocks are set forward, one where they are set back, and hourly runs follow elapsed time', () => {
  expect(timesOf('30 2 * * *', '2024-03-30T12:00:00Z', 2)).toEqual(['2024-03-31T01:30:00Z', '2024-04-01T00:30:00Z']);
  expect(timesOf('30 2 * * *', '2024-10-26T12:00:00Z', 2)).toEqual(['2024-10-27T00:30:00Z', '2024-10-28T01:30:00Z']);
  const everyHour = timesOf('0 * * * *', '2024-10-26T22:30:00Z', 4);
  expect(everyHour.map((time) => Date.parse(time))).toEqual(
    [0, 1, 2, 3].map((hour) => Date.parse('2024-10-26T23:00:00Z') + hour * HOUR_MS),
  );
});

test.each([
  ['61 * * * *', /61/],
  ['* * * *', /4 fields/],
  ['0 0 * * * *', /6 fields/],
  ['0 0 30 2 *', /no date/],
  ['', /fields/],
])('cron "%s" is refused with its place', (cron, why) => {
  expect(() => new Schedule('daily', { workflow: 'w', cron })).toThrow(why);
  expect(() => new Schedule('daily', { workflow: 'w', cron })).toThrow(/schedule "daily": cron/);
});

test.each<[string, Record<string, unknown>, RegExp]>([
  ['nothing', {}, /either cron or calendar/],
  ['both', { cron: '0 0 * * *', calendar: 'XNYS' }, /either cron or calendar/],
  ['a zone that does not exist', { cron: '0 0 * * *', timeZone: 'Europe/Nowhere' }, /timeZone/],
  ['an exchange without data', { calendar: 'XABC' }, /calendar/],
  ['a time that is none', { calendar: 'XNYS', at: 'noon' }, /at: /],
  ['an unknown key', { cron: '0 0 * * *', retry: 1 }, /retry/],
  ['a long jitter', { cron: '0 0 * * *', jitter: '2h' }, /jitter/],
  ['skip with all', { cron: '0 0 * * *', catchUp: 'all' }, /overlap "queue" or "allow"/],
  ['queue with none', { cron: '0 0 * * *', overlap: 'queue', catchUp: 'none' }, /catchUp "latest" or "all"/],
  ['an input that is set by the platform', { cron: '0 0 * * *', input: { schedule: 1 } }, /input/],
])('a schedule with %s is refused', (_, spec, why) => {
  expect(() => new Schedule('daily', { workflow: 'w', ...spec } as ScheduleSpec)).toThrow(why);
});

const afterClose = new Schedule('prices', { workflow: 'w', calendar: 'XNYS', at: '30 minutes after close' });

test('trading days leave out weekends, holidays and closures of one day, and follow early closes', () => {
  const eight = [...afterClose.between('2024-12-20', '2025-01-03')].map(({ date }) => date);
  expect(eight).toEqual([
    ...['2024-12-20', '2024-12-23', '2024-12-24', '2024-12-26', '2024-12-27', '2024-12-30', '2024-12-31'],
    ...['2025-01-02', '2025-01-03'],
  ]);
  const times = [...afterClose.between('2024-12-23', '2024-12-24')].map(({ timeMs }) => rfc3339(timeMs));
  // 24 December closes at 13:00 in New York.
  expect(times).toEqual(['2024-12-23T21:30:00Z', '2024-12-24T18:30:00Z']);
  expect(calendarOf('XNYS').session('2025-01-09')).toBeUndefined();
  expect(calendarOf('XNYS').session('2012-10-29')).toBeUndefined();
  const tokyo = new Schedule('tokyo', { workflow: 'w', calendar: 'XTKS' });
  // It closes half an hour later from 5 November 2024 on.
  expect([...tokyo.between('2024-11-01', '2024-11-05')].map(({ timeMs }) => rfc3339(timeMs))).toEqual([
    '2024-11-01T06:00:00Z',
    '2024-11-05T06:30:00Z',
  ]);
});

test.each(EXCHANGES)('%s: dates beyond its data are refused by name, those at its ends are not', (exchange) => {
  const calendar = calendarOf(exchange);
  const schedule = new Schedule('daily', { workflow: 'w', calendar: exchange, at: '1440 minutes after close' });
  for (const date of ['2009-12-31', '2028-01-01']) {
    expect(() => calendar.session(date)).toThrow(new RegExp(`${exchange} has no data for ${date}`));
    expect(() => [...schedule.between(date, date)]).toThrow(/has no data/);
  }
  const first = [...schedule.between(calendar.first, '2010-01-10')].map(({ date }) => date);
  expect(first.length).toBeGreaterThan(3);
  expect([...schedule.between('2027-12-20', calendar.last)].length).toBeGreaterThan(5);
  expect(() => [...schedule.between('2027-12-20')]).toThrow(/has no data for 2028-01-01/);
});

const specs = fc.record({
  timing: fc.constantFrom<Partial<ScheduleSpec>>(
    { cron: '*/7 * * * *' },
    { cron: '30 2 * * *', timeZone: 'Europe/Berlin' },
    { calendar: 'XNYS', at: '30 minutes after close' },
  ),
  policy: fc.constantFrom<Partial<ScheduleSpec>>(
    ...[
      { catchUp: 'latest' as const },
      { catchUp: 'none' as const },
      { catchUp: 'all' as const, overlap: 'allow' as const },
    ],
  ),
  jitter: fc.constantFrom<Partial<ScheduleSpec>>({}, { jitter: '5m' }),
});

test('whatever the pauses between looks, each time is run once, or left out as the policy has it', () => {
  const pauses = fc.array(fc.oneof(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 600, max: 200_000 })), {
    maxLength: 25,
  });
  fc.assert(
    fc.property(specs, pauses, fc.nat(100_000), ({ timing, policy, jitter }, waits, startMinutes) => {
      const schedule = new Schedule('daily', { workflow: 'w', ...timing, ...policy, ...jitter });
      const startMs = Date.parse('2024-03-01T00:00:00Z') + startMinutes * MINUTE_MS;
      let waited = schedule.after(startMs);
      let nowMs = startMs;
      const looks: number[] = [];
      const ran: { readonly timeMs: number; readonly atMs: number }[] = [];
      for (const seconds of waits) {
        nowMs += seconds * 1_000;
        looks.push(nowMs);
        for (let again = true; again && waited !== undefined && schedule.dueMs(waited) <= nowMs; ) {
          const due = dueTimes(schedule, waited, nowMs);
          again = due.next !== waited;
          for (const { timeMs } of due.run) ran.push({ timeMs, atMs: nowMs });
          waited = due.next;
        }
      }
      // Every time, with the first look that could run it; of each look, what the policy leaves.
      const byLook = new Map<number, number[]>();
      let earliest = 0;
      for (
        let time = schedule.after(startMs);
        time !== undefined && time.timeMs <= nowMs;
        time = schedule.after(time.timeMs)
      ) {
        const dueMs = schedule.dueMs(time);
        // Times are run in order: one with a shorter jitter waits for the one before it.
        earliest = Math.max(earliest, dueMs);
        const look = looks.find((at) => at >= earliest);
        if (look !== undefined) byLook.set(look, [...(byLook.get(look) ?? []), time.timeMs]);
      }
      const expected = [...byLook].flatMap(([atMs, times]) => {
        const left = schedule.catchUp === 'all' ? times : times.slice(-1);
        const onTime = left.filter((timeMs) => {
          const dueMs = schedule.dueMs({ timeMs, date: '' });
          return schedule.catchUp !== 'none' || atMs - dueMs <= MINUTE_MS;
        });
        return onTime.map((timeMs) => ({ timeMs, atMs }));
      });
      expect(ran).toEqual(expected);
    }),
    { numRuns: 60 },
  );
}, 120_000);
