import { expect, test } from '@jest/globals';
import { TurnBatch } from '#client/turn_batch';

const sent: string[][] = [];
const batchOf = (most: number, refuse: (key: string) => boolean = () => false) => {
  sent.length = 0;
  return new TurnBatch(async (keys) => {
    sent.push([...keys]);
    if (keys.some(refuse)) throw Object.assign(new Error(`refused ${keys}`), { fault: 'caller' });
    return keys.map((key) => key.toUpperCase());
  }, most);
};

test('calls of one turn are one request, each key once; those of the next turn are another', async () => {
  const batch = batchOf(10);
  expect(await Promise.all(['a', 'b', 'a'].map((key) => batch.get(key)))).toEqual(['A', 'B', 'A']);
  expect(await batch.get('c')).toBe('C');
  expect(sent).toEqual([['a', 'b'], ['c']]);
});

test('a request has as many keys as it may', async () => {
  const batch = batchOf(2);
  await Promise.all(['a', 'b', 'c'].map((key) => batch.get(key)));
  expect(sent).toEqual([['a', 'b'], ['c']]);
});

test('a refused key fails alone', async () => {
  const batch = batchOf(10, (key) => key === 'bad');
  const outcomes = await Promise.allSettled(['a', 'bad', 'c'].map((key) => batch.get(key)));
  expect(outcomes.map((each) => (each.status === 'fulfilled' ? each.value : String(each.reason)))).toEqual([
    ...['A', 'Error: refused bad', 'C'],
  ]);
});

test('a cancelled call rejects alone; the request is cancelled with the last of its calls', async () => {
  let whole: AbortSignal | undefined;
  const batch = new TurnBatch((_keys: readonly string[], signal) => {
    whole = signal;
    return new Promise<readonly string[]>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  }, 10);
  const [first, second] = [new AbortController(), new AbortController()];
  const calls = [batch.get('a', first.signal), batch.get('b', second.signal)].map((call) =>
    call.catch((reason: unknown) => reason),
  );
  await new Promise((resolve) => setImmediate(resolve));
  first.abort('one');
  expect([await calls[0], whole?.aborted]).toEqual(['one', false]);
  second.abort('two');
  expect([await calls[1], whole?.aborted]).toEqual(['two', true]);
  expect(await batch.get('c', AbortSignal.abort('before')).catch((reason: unknown) => reason)).toBe('before');
});
