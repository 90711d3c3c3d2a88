import { DAY_MS } from 'headwater/features';
import { checkContracts, readHistory, type ScheduledInput, TaskError, task, workflow } from 'headwater/workflows';
import { type Comment, mixChanges } from '../evaluation/mix.ts';
import { judge, LANGUAGES } from '../evaluation/report.ts';
import { feedbackView } from '../features/feedback.ts';

/** Adverse events that each language must find. */
const LEAST_RECALL = 0.95;
/** Share by which a language or topic may change in a day, with so many comments at least. */
const MOST_CHANGE = 0.25;
const FEWEST_COMMENTS = 50;

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
  async ({ schedule }: ScheduledInput, context): Promise<{ readonly now: number; readonly before: number }> => {
    const to = schedule?.time ?? new Date().toISOString();
    const sinceMs = Date.parse(to) - DAY_MS;
    const [now, before]: [Comment[], Comment[]] = [[], []];
    await readHistory(feedbackView, { from: new Date(sinceMs - 30 * DAY_MS).toISOString(), to }, (rows) => {
      for (const { at, values } of rows) {
        const comment = { language: values.language ?? '', topic: values.topic ?? '' };
        (Date.parse(at) >= sinceMs ? now : before).push(comment);
      }
    });
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

/** Each night: detection on held-out sentences, the contract of the features, and whether languages and topics have changed. */
export const evaluateNightly = workflow<ScheduledInput>('evaluate', (w) =>
  w.task('Evaluate', evaluate).task('Check', checkContracts(feedbackView)).task('Compare', compareMix),
);
