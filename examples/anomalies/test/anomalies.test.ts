import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FeatureTest } from 'headwater/testing';
import { causeOf } from '../cause_of_flows.ts';
import { makeCloses, makeFlows, makeReadings } from '../data_generator.ts';
import { hostTraffic } from '../features/flows.ts';
import { priceMove } from '../features/prices.ts';
import { seasonalReading } from '../features/readings.ts';
import { deviationOfNewest } from '../features/without_newest.ts';
import { averagePrecision, plainDeviations, readCsv } from '../judgement.ts';
import { readingOf } from '../machines.ts';

const NOW = '2026-01-05T12:00:00Z';
const DAY_MS = 86_400_000;

test('a message becomes the reading of its machine, metric and hour', () => {
  const payload = Buffer.from('{"at":"2026-01-05T02:10:00Z","value":36.5}');
  assert.deepEqual(readingOf({ levels: ['plant', 'press-1', 'temperature'], payload }), {
    ...{ event_id: 'press-1/temperature/2026-01-05T02:10:00Z', event_type: 'reading', hour: '02' },
    ...{ timestamp: '2026-01-05T02:10:00Z', machine: 'press-1', metric: 'temperature', value: 36.5 },
  });
  assert.throws(() => readingOf({ levels: ['plant', 'press-1', 'temperature'], payload: Buffer.from('36.5 C') }));
});

test('a value is compared with those before it', () => {
  const values = [3, 5, 4, 6, 2, 40];
  const mean = (of: readonly number[]) => of.reduce((sum, each) => sum + each, 0) / of.length;
  const variance = (of: readonly number[]) => mean(of.map((each) => (each - mean(of)) ** 2));
  const before = values.slice(0, -1);
  const off = deviationOfNewest(40, values.length, mean(values), variance(values), 5);
  assert.ok(Math.abs((off?.usual as number) - mean(before)) < 1e-9);
  assert.ok(Math.abs((off?.z as number) - (40 - mean(before)) / Math.sqrt(variance(before))) < 1e-9);
  assert.equal(deviationOfNewest(40, values.length, mean(values), variance(values), 6), undefined);
  assert.equal(deviationOfNewest(4, 6, 4, 0, 5), undefined);
});

test('what is usual at noon is an alarm at night, which names its cause', () => {
  const features = new FeatureTest([seasonalReading], { now: '2026-01-01T02:00:00Z' });
  const read = (at: string, value: number) => {
    const payload = Buffer.from(JSON.stringify({ at, value }));
    features.ingest(readingOf({ levels: ['plant', 'p', 'temperature'], payload }));
  };
  for (let day = 1; day <= 7; day += 1) {
    for (const minute of ['00', '10', '20', '30']) {
      const noise = (day % 3) - 1 + Number(minute) / 100;
      features.setTime(`2026-01-0${day}T02:${minute}:00Z`);
      read(`2026-01-0${day}T02:${minute}:00Z`, 36 + noise);
    }
  }
  features.setTime('2026-01-08T02:00:00Z');
  read('2026-01-08T02:00:00Z', 60);
  const row = features.row(seasonalReading, { machine: 'p', metric: 'temperature', hour: '02' });
  assert.equal(row?.is_alarm, true);
  assert.match(row?.cause ?? '', /^60\.0 is \d+\.\d deviations above 36\.\d: usual at this hour$/);
});

test('traffic is of ten minutes; a close knows how unusual it is', () => {
  const traffic = new FeatureTest([hostTraffic], { now: NOW });
  for (const [each, port] of [443, 80, 443].entries()) {
    traffic.ingest({
      ...{ event_id: `f${each}`, event_type: 'flow', timestamp: traffic.now, host: 'h', peer: `p${each}`, port },
      bytes: 10 * (each + 1),
    });
    traffic.advance('1m');
  }
  const row = traffic.row(hostTraffic, { host: 'h' });
  assert.deepEqual(
    [row?.flows_10m, row?.sum_bytes_10m, row?.distinct_port_10m, row?.distinct_peer_10m, row?.max_bytes_10m],
    [3, 60, 2, 3, 30],
  );

  const prices = new FeatureTest([priceMove], { now: NOW });
  const closes = [...Array.from({ length: 40 }, (_, day) => 100 + (day % 3)), 80];
  for (const [day, close] of closes.entries()) {
    prices.ingest({
      ...{ event_id: `c${day}`, event_type: 'close', timestamp: prices.now, instrument: 'S1', close },
    });
    if (day < closes.length - 1) prices.advance('1d');
  }
  assert.match(
    prices.row(priceMove, { instrument: 'S1' })?.cause ?? '',
    /^fell by 20\.0 %: \d+\.\d deviations of 60 days$/,
  );
});

test('the data is the same for the same seed; each series has its fault in the last day', () => {
  const endMs = Date.parse(NOW);
  const readings = makeReadings(3, 3, endMs, 1);
  assert.deepEqual(makeReadings(3, 3, endMs, 1), readings);
  const faulty = readings.filter(({ fault }) => fault !== undefined);
  assert.equal(new Set(faulty.map(({ fault }) => fault?.name)).size, 6);
  assert.equal(faulty.length, 18);
  assert.ok(faulty.every(({ at }) => Date.parse(at) >= endMs - DAY_MS));
  const { flows, attacks } = makeFlows(6, 2, endMs, 1);
  assert.deepEqual(makeFlows(6, 2, endMs, 1).flows, flows);
  assert.deepEqual(new Set(attacks.map(({ kind }) => kind)), new Set(['port_scan', 'exfiltration', 'sweep']));
  const { closes, jumps } = makeCloses(4, 60, endMs, 1);
  assert.deepEqual([closes.length, jumps.size], [240, 4]);
});

test('judgement: average precision, causes, and files', () => {
  const of = (text: string) => [...text].map((letter, at) => ({ score: text.length - at, isFaulty: letter === 'x' }));
  assert.equal(averagePrecision(of('xx..')), 1);
  // scikit-learn: average_precision_score([1, 0, 1, 0], [4, 3, 2, 1])
  assert.ok(Math.abs(averagePrecision(of('x.x.')) - 5 / 6) < 1e-12);
  assert.equal(averagePrecision([1, 1, 1, 1].map((score, at) => ({ score, isFaulty: at === 0 }))), 0.25);
  assert.equal(causeOf({ distinct_port_10m: 0.2, flows_10m: 0.1, log_bytes: null }), 'many_ports');
  const series = [...Array.from({ length: 20 }, (_, at) => at % 2), 10.5];
  assert.deepEqual(plainDeviations(series, 144).slice(-2), [0, 20]);
  assert.deepEqual(readCsv('a,b\n1,"x, ""y"""\n,2\n'), [
    { a: '1', b: 'x, "y"' },
    { a: '', b: '2' },
  ]);
});

test('the contract holds on readings as they are, and not when a sensor has another unit or is silent', async () => {
  const end = Date.parse('2026-01-09T12:00:00Z');
  const features = new FeatureTest([seasonalReading], { now: '2026-01-09T12:00:00Z', allowedLateness: '30d' as never });
  const send = (topic: string, at: string, value: number) =>
    features.ingest(readingOf({ levels: topic.split('/'), payload: Buffer.from(JSON.stringify({ at, value })) }));
  const usual = makeReadings(2, 8, end, 1).filter(({ fault }) => fault === undefined);
  for (const { topic, at, value } of usual) send(topic, at, value);
  assert.deepEqual(await features.brokenTerms(seasonalReading), []);
  // A day in degrees Fahrenheit: the first reading of each hour shows it.
  features.advance('1d');
  for (const { topic, at, value } of usual.filter(
    (each) => Date.parse(each.at) > end - DAY_MS && each.at.slice(14, 16) === '00',
  ))
    send(topic, new Date(Date.parse(at) + DAY_MS).toISOString(), value * 1.8 + 32);
  assert.deepEqual(await features.brokenTerms(seasonalReading), ['violations']);
  features.advance('2d');
  assert.deepEqual(await features.brokenTerms(seasonalReading), ['freshness']);
});
