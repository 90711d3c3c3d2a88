import { createFileSystems } from 'headwater/connectors';
import { DAY_MS } from 'headwater/features';
import { commandTask, readHistory, type ScheduledInput, TaskError, task, workflow } from 'headwater/workflows';
import { priceMove } from '../features/prices.ts';
import { seasonalReading } from '../features/readings.ts';

/** Share of the readings of a day that may be alarms: a person cannot look at more. */
const MOST_SHARE = 0.02;

export interface DayOfAlarms {
  readonly path: string;
  readonly readings: number;
  readonly alarms: number;
  readonly jumps: number;
}

/** Writes the alarms of the last 24 hours with their causes: `date=…/alarms.jsonl` below the variable `alarms`. Fails with `Alarms.TooMany` where they are more than a person can look at. */
export const collectAlarms = task(
  'collect-alarms',
  async ({ schedule }: ScheduledInput, context): Promise<DayOfAlarms> => {
    const to = schedule?.time ?? new Date().toISOString();
    const range = { from: new Date(Date.parse(to) - DAY_MS).toISOString(), to };
    let readings = 0;
    const alarms: object[] = [];
    await readHistory(seasonalReading, range, (rows) => {
      readings += rows.length;
      for (const { entity, at, values } of rows)
        if (values.is_alarm === true) alarms.push({ at, of: entity, value: values.value, cause: values.cause });
    });
    const ofReadings = alarms.length;
    await readHistory(priceMove, range, (rows) => {
      for (const { entity, at, values } of rows)
        if ((values.cause ?? '') !== '') alarms.push({ at, of: entity, cause: values.cause });
    });
    const path = `${context.variable('alarms')}/date=${schedule?.date ?? to.slice(0, 10)}/alarms.jsonl`;
    await createFileSystems()(path).write(
      path,
      Buffer.from(alarms.map((each) => `${JSON.stringify(each)}\n`).join('')),
    );
    context.writes('alarms', path);
    if (ofReadings > MOST_SHARE * readings && ofReadings > 10) {
      throw new TaskError('Alarms.TooMany', `${ofReadings} of ${readings} readings are alarms: see ${path}`);
    }
    return { path, readings, alarms: ofReadings, jumps: alarms.length - ofReadings };
  },
  { process: true },
);

/** Each morning: the alarms of the last day, with their causes. */
export const alarmsDaily = workflow<ScheduledInput>('alarms', (w) => w.task('Collect', collectAlarms));

/** Each week: the isolation forest of the traffic as it is now, as a version that a person promotes. */
export const retrainForest = workflow<ScheduledInput>('retrain_forest', (w) =>
  w.task(
    'Train',
    commandTask('train-forest', () => ['models', 'train', 'flow_anomalies', '--register']),
  ),
);
