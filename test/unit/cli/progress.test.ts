import { expect, test } from '@jest/globals';
import { createPlainLines } from '#cli/terminal/progress';

test('plain lines are rate-limited and end with the time taken', () => {
  let nowMs = 0;
  const lines: string[] = [];
  const progress = createPlainLines({ write: (text: string) => lines.push(text) }, () => nowMs);
  const task = progress.begin('post events', 20_000);
  for (nowMs = 0; nowMs <= 2_500; nowMs += 100) task.update(nowMs, 'fine');
  task.finish('20,000 accepted');
  expect(lines).toEqual([
    '- post events\n',
    '  post events: 1,000 of 20,000, 1,000/s, 19 s left, fine\n',
    '  post events: 2,000 of 20,000, 1,000/s, 18 s left, fine\n',
    '  done in 2.6 s: 20,000 accepted\n',
  ]);
});
