import {
  type Construct,
  combinePerKey,
  create,
  type DoFn,
  fixedWindows,
  keyBy,
  type ProcessContext,
  parDo,
  sum,
  windowInto,
  withTimestamps,
} from 'headwater/pipelines';
import { assertThat, runToEnd } from 'headwater/pipelines/testing';

interface Ride {
  readonly rider: string;
  readonly fare: number;
  readonly at: number;
}

const RIDES: readonly Ride[] = [
  { rider: 'ann', fare: 5, at: 1_000 },
  { rider: 'ann', fare: 7, at: 2_000 },
  { rider: 'bob', fare: 3, at: 61_000 },
];

const positive: DoFn<Ride, Ride> = {
  process(ride: Ride, context: ProcessContext<Ride>) {
    if (ride.fare > 0) context.output(ride);
  },
};

const totals: Construct = (root) => {
  const perRider = root
    .apply(create(RIDES))
    .apply(parDo(positive, { name: 'Positive' }))
    .apply(withTimestamps(({ at }) => at))
    .apply(windowInto({ windowFn: fixedWindows(60) }))
    .apply(keyBy(({ rider }) => rider))
    .map(({ key, value }) => ({ key, value: value.fare }))
    .apply(combinePerKey(sum()));
  assertThat(perRider, 'totals').containsInAnyOrder([
    { key: 'ann', value: 12 },
    { key: 'bob', value: 3 },
  ]);
};

await runToEnd(totals);
console.log('the pipeline holds');
