import { createFileSystems } from 'headwater/connectors';
import { DAY_MS } from 'headwater/features';
import { checkContracts, readHistory, type ScheduledInput, task, workflow } from 'headwater/workflows';
import { claimView } from '../features/claims.ts';
import { type Decision, type Triage, triageOf } from '../triage.ts';

export interface DayOfDecisions extends Readonly<Record<Decision, number>> {
  readonly path: string;
}

/** Decides on the newest claim of each policy of the last 24 hours before the schedule's time, and keeps decisions and evidence: `date=…/decisions.jsonl` below the variable `decisions`. */
export const decide = task(
  'decide',
  async ({ schedule }: ScheduledInput, context): Promise<DayOfDecisions> => {
    const to = schedule?.time ?? new Date().toISOString();
    const decided = new Map<string, Triage>();
    await readHistory(claimView, { from: new Date(Date.parse(to) - DAY_MS).toISOString(), to }, (rows) => {
      for (const { values } of rows) {
        const triage = triageOf(values);
        decided.set(triage.claim_id, triage);
      }
    });
    const all = [...decided.values()];
    const path = `${context.variable('decisions')}/date=${schedule?.date ?? to.slice(0, 10)}/decisions.jsonl`;
    const lines = all.map((each) => `${JSON.stringify(each)}\n`).join('');
    await createFileSystems()(path).write(path, Buffer.from(lines));
    context.writes('decisions', path);
    const count = (of: Decision): number => all.filter(({ decision }) => decision === of).length;
    return { path, reject: count('reject'), review: count('review'), pay: count('pay') };
  },
  { process: true },
);

/** Each night: whether the claims are as they should be, then the decisions of the day. */
export const decideDaily = workflow<ScheduledInput>('decide', (w) =>
  w.task('Check', checkContracts(claimView)).task('Decide', decide),
);
