import { DAY_MS } from 'headwater/features';
import {
  checkContracts,
  readHistory,
  type ScheduledInput,
  TaskError,
  task,
  workflow,
  writeReport,
} from 'headwater/workflows';
import { mixChanges } from '../evaluation/mix.ts';
import { type DatedComment, nightlyReport } from '../evaluation/nightly_report.ts';
import { judge, LANGUAGES } from '../evaluation/report.ts';
import { feedbackView } from '../features/feedback.ts';

/** Adverse events that each language must find. */
const LEAST_RECALL = 0.95;
/** Share by which a language or topic may change in a day, with so many comments at least. */
const MOST_CHANGE = 0.25;
const FEWEST_COMMENTS = 50;
/** Days before the last one that it is compared with. */
const DAYS_BEFORE = 30;

const endOf = ({ schedule }: ScheduledInput): string => schedule?.time ?? new Date().toISOString();

/** Comments of the month before, and of the last day. */
async function commentsUntil(to: string): Promise<readonly DatedComment[]> {
  const from = new Date(Date.parse(to) - (1 + DAYS_BEFORE) * DAY_MS).toISOString();
  const comments: DatedComment[] = [];
  await readHistory(feedbackView, { from, to }, (rows) => {
    for (const { at, values } of rows) {
      // A row is also written when comments leave a window.
      if (values.commented_ms !== Date.parse(at)) continue;
      comments.push({
        at,
        language: values.language ?? '',
        topic: values.topic ?? '',
        isAdverse: values.adverse === 1,
      });
    }
  });
  return comments;
}

/** Writes the report of the night below the variable `reports`: before what may fail, so that it shows why. */
export const reportNight = task(
  'report-feedback',
  async (input: ScheduledInput, context): Promise<ScheduledInput> => {
    const to = endOf(input);
    const judged = LANGUAGES.map((language) => judge(language));
    const folder = `${context.variable('reports')}/date=${to.slice(0, 10)}`;
    context.log(await writeReport(folder, nightlyReport(judged, await commentsUntil(to), to)));
    return input;
  },
  { process: true },
);

/** Judges the models on the held-out sentences. Fails with `Feedback.DetectionWorse` where a language finds too few adverse events. */
export const evaluate = task('evaluate-detection', (input: ScheduledInput, context): ScheduledInput => {
  for (const language of LANGUAGES) {
    const { recall, precision } = judge(language);
    context.log(`${language}: recall ${recall.value.toFixed(3)}, precision ${precision.value.toFixed(3)}`);
    if (recall.value >= LEAST_RECALL) continue;
    throw new TaskError('Feedback.DetectionWorse', `${language} finds ${recall.value} of the adverse events`);
  }
  return input;
});

/** Compares languages and topics of the last day with those of the month before. Fails with `Feedback.Drifted`, naming what has changed. */
export const compareMix = task(
  'compare-mix',
  async (input: ScheduledInput, context): Promise<{ readonly now: number; readonly before: number }> => {
    const to = endOf(input);
    const comments = await commentsUntil(to);
    const isNew = ({ at }: DatedComment): boolean => Date.parse(at) >= Date.parse(to) - DAY_MS;
    const now = comments.filter(isNew);
    const before = comments.filter((each) => !isNew(each));
    if (Math.min(now.length, before.length) >= FEWEST_COMMENTS) {
      const changes = mixChanges(now, before, MOST_CHANGE).map(
        (each) => `${each.of} ${each.value} from ${each.before.toFixed(2)} to ${each.now.toFixed(2)}`,
      );
      for (const change of changes) context.log(change);
      if (changes.length > 0) throw new TaskError('Feedback.Drifted', changes.join('; '));
    }
    return { now: now.length, before: before.length };
  },
  { process: true },
);

/** Each night: a report, detection on held-out sentences, the contract of the features, and whether languages and topics have changed. */
export const evaluateNightly = workflow<ScheduledInput>('evaluate', (w) =>
  w
    .task('Report', reportNight)
    .task('Evaluate', evaluate)
    .task('Check', checkContracts(feedbackView))
    .task('Compare', compareMix),
);
