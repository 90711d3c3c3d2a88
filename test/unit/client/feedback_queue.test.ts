import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { NoAnswerError, RequestFailedError, UnreadableAnswerError } from '#client/errors';
import { FeedbackQueue, memoryReports, type ReportStorage, type WaitingReport } from '#client/feedback_queue';
import type { Feedback } from '#client/predictions';

const offline = () => new NoAnswerError('POST /feedback', 'offline', undefined);
const refused = () => new RequestFailedError('POST /feedback', 422, { code: 'SERVING_INVALID', message: 'no' }, 'r1');
const report = (id: number, label: string): Feedback => ({ predictionId: `p${id}`, label });

/** What the platform keeps: the newest report on each row of a prediction. */
class Platform {
  readonly kept = new Map<string, Feedback>();
  readonly take = (reports: readonly Feedback[]): void => {
    for (const each of reports) this.kept.set(`${each.predictionId}#${each.row ?? 0}`, each);
  };
}

test('reports wait while there is no network, and are sent once when there is', async () => {
  const platform = new Platform();
  const requests: number[] = [];
  let isOnline = false;
  const queue = new FeedbackQueue(async (reports) => {
    if (!isOnline) throw offline();
    requests.push(reports.length);
    platform.take(reports);
  }, memoryReports());
  await queue.add(report(1, 'fraud'));
  await queue.add(report(2, 'fraud'));
  await queue.add(report(1, 'legitimate'));
  await expect(queue.flush()).resolves.toMatchObject({ sent: 0, stoppedBy: { code: 'CLIENT_NO_ANSWER' } });
  isOnline = true;
  const flushed = await Promise.all([queue.flush(), queue.flush()]);
  expect(flushed).toEqual([
    { sent: 2, refused: [] },
    { sent: 2, refused: [] },
  ]);
  expect(requests).toEqual([2]);
  expect(platform.kept.get('p1#0')).toEqual(report(1, 'legitimate'));
  await expect(queue.flush()).resolves.toEqual({ sent: 0, refused: [] });
});

test('what the platform refuses does not hold the rest up', async () => {
  const platform = new Platform();
  const queue = new FeedbackQueue(async (reports) => {
    if (reports.some(({ predictionId: id }) => id === 'p2')) throw refused();
    platform.take(reports);
  }, memoryReports());
  for (const id of [1, 2, 3]) await queue.add(report(id, 'fraud'));
  const { sent, refused: given } = await queue.flush();
  expect([sent, given.map((each) => each.report.predictionId)]).toEqual([2, ['p2']]);
  expect([...platform.kept.keys()]).toEqual(['p1#0', 'p3#0']);
  await expect(queue.flush()).resolves.toEqual({ sent: 0, refused: [] });
});

test('a report that is added while an older one is sent stays, and is sent next', async () => {
  const platform = new Platform();
  const queue: FeedbackQueue = new FeedbackQueue(async (reports) => {
    if (platform.kept.size === 0) await queue.add(report(1, 'newer'));
    platform.take(reports);
  }, memoryReports());
  await queue.add(report(1, 'older'));
  await expect(queue.flush()).resolves.toEqual({ sent: 2, refused: [] });
  expect(platform.kept.get('p1#0')).toEqual(report(1, 'newer'));
});

test('whatever is lost, request or answer, the platform holds in the end what was reported last', async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), id: fc.integer({ min: 0, max: 4 }), label: fc.string() }),
    fc.record({ kind: fc.constant('flush' as const), loses: fc.constantFrom('nothing', 'request', 'answer') }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const platform = new Platform();
      let loses = 'nothing';
      const queue = new FeedbackQueue(async (reports) => {
        if (loses !== 'request') platform.take(reports);
        if (loses !== 'nothing') throw offline();
      }, memoryReports());
      const last = new Map<string, Feedback>();
      for (const each of steps) {
        if (each.kind === 'add') {
          const added = report(each.id, each.label);
          last.set(`p${each.id}#0`, added);
          await queue.add(added);
        } else {
          loses = each.loses;
          await queue.flush();
        }
      }
      loses = 'nothing';
      await queue.flush();
      expect(Object.fromEntries(platform.kept)).toEqual(Object.fromEntries(last));
    }),
  );
});

const answered = (status: number, code: string) =>
  new RequestFailedError('POST /feedback', status, { code, message: 'no' }, 'r1');

test.each([
  ['an expired key', answered(401, 'HTTP_UNAUTHORIZED')],
  ['a proxy', answered(404, 'HTTP_404')],
  ['a fault of the platform', answered(500, 'HTTP_INTERNAL')],
  ['a page that asks to log in', new UnreadableAnswerError('POST /feedback', 200)],
])('%s loses no report, and is asked once', async (_, error) => {
  let requests = 0;
  let fails = true;
  const queue = new FeedbackQueue(async () => {
    requests += 1;
    if (fails) throw error;
  }, memoryReports());
  for (let id = 0; id < 600; id += 1) await queue.add(report(id, 'fraud'));
  await expect(queue.flush()).resolves.toEqual({ sent: 0, refused: [], stoppedBy: error });
  expect(requests).toBe(1);
  fails = false;
  await expect(queue.flush()).resolves.toEqual({ sent: 600, refused: [] });
});

test('a report on a prediction that is not logged yet waits without holding others up, and is refused after an hour', async () => {
  const unknown = answered(404, 'SERVING_UNKNOWN_PREDICTION');
  const storage = memoryReports();
  const queue = new FeedbackQueue(async (reports) => {
    if (reports.some(({ predictionId: id }) => id === 'p1')) throw unknown;
  }, storage);
  for (const id of [1, 2, 3]) await queue.add(report(id, 'fraud'));
  await expect(queue.flush()).resolves.toEqual({ sent: 2, refused: [], stoppedBy: unknown });
  const [waiting] = await storage.oldest(10);
  await storage.put({ ...(waiting as WaitingReport), addedAtMs: Date.now() - 3_700_000 });
  await expect(queue.flush()).resolves.toEqual({ sent: 0, refused: [{ report: report(1, 'fraud'), error: unknown }] });
});

test('what the storage throws goes to the function for errors, and the next flush tries again', async () => {
  const storage = memoryReports();
  const broken = new Error('the disk is full');
  let throws = true;
  const oldest: ReportStorage['oldest'] = async (most) => {
    if (throws) throw broken;
    return storage.oldest(most);
  };
  const queue = new FeedbackQueue(async () => undefined, { ...storage, oldest });
  await queue.add(report(1, 'fraud'));
  const error = await new Promise((resolve) => queue.start(() => {}, resolve));
  expect(error).toBe(broken);
  throws = false;
  await expect(queue.flush()).resolves.toEqual({ sent: 1, refused: [] });
});
