import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type EntityMention, isMentioned } from '#connectors/entity_mention';

const ofUser = (id: string): EntityMention => ({ key: `user:${id}`, joinKeys: { user_id: id } });
const record = (value: unknown, key?: string) => ({
  key,
  value: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
});

const asEscapes = (text: string): string =>
  `"${Array.from({ length: text.length }, (_, at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, '0')}`).join('')}"`;
/** JSON with every character of its strings as an escape. */
const escaped = (event: object): string =>
  `{${Object.entries(event)
    .map(([name, value]) => `${asEscapes(name)}: ${typeof value === 'string' ? asEscapes(value) : value}`)
    .join(',')}}`;

/** An event as records hold it: itself, in a letter, in a letter about the letter, cut short, in base64. */
const wrappings: Readonly<Record<string, (event: object) => unknown>> = {
  itself: (event) => event,
  'a letter': (event) => ({ payload: JSON.stringify(event), reason: 'why', stage: 's' }),
  'a letter in a letter': (event) => ({ payload: JSON.stringify({ payload: JSON.stringify(event) }), reason: 'why' }),
  base64: (event) => ({ payload: Buffer.from(JSON.stringify(event)).toString('base64'), encoding: 'base64' }),
  'a letter that is cut': (event) => ({ payload: `${JSON.stringify(event).slice(0, -1)},"more": "te`, isCut: true }),
  'a letter of another encoding': (event) => ({
    payload: Buffer.from(JSON.stringify(event), 'utf16le').toString('base64'),
    encoding: 'base64',
  }),
  'escapes in what is no JSON': (event) => ({ payload: `${escaped(event).slice(0, -1)},` }),
  'a repeated key': (event) => ({
    payload: `${JSON.stringify(event).slice(0, -1)},"user_id":"another user, of another id"}`,
  }),
  'an array': (event) => [1, [event]],
  'no JSON': (event) => `${JSON.stringify(event)} and more`,
};

test('a record with an id in its join key is found, however it is wrapped; one with another id is not', () => {
  const id = fc.oneof(
    fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' }),
    fc.constantFrom('1', 'u1', 'u12', 'a"b', 'a\\b', 'é', 'a.b', '(x', '{"a":1}', '[', 'user:u1'),
  );
  fc.assert(
    fc.property(id, id, fc.constantFrom(...Object.keys(wrappings)), (own, other, wrapping) => {
      const wrap = wrappings[wrapping] as (event: object) => unknown;
      const event = { event_id: 'e', user_id: own, amount: 5 };
      expect(isMentioned(record(wrap(event)), ofUser(own))).toBe(true);
      if (own !== other) expect(isMentioned(record(wrap(event)), ofUser(other))).toBe(false);
    }),
    { numRuns: 500 },
  );
});

test('the subject of a CloudEvent that was refused is the user', () => {
  const letter = { payload: JSON.stringify({ specversion: '1.0', id: '', subject: 'u1', data: {} }), reason: 'why' };
  expect(isMentioned(record(letter), ofUser('u1'))).toBe(true);
  expect(isMentioned(record(letter), ofUser('u2'))).toBe(false);
  expect(isMentioned(record(letter), { key: 'account:u1', joinKeys: { account_id: 'u1' } })).toBe(false);
});

test('an entity is found by its key as a whole, and by all of its join keys together', () => {
  const row = { entityKey: 'user:u1', values: {} };
  expect(isMentioned(record(row), ofUser('u1'))).toBe(true);
  expect(isMentioned({ key: 'user:u1', value: null }, ofUser('u1'))).toBe(true);
  // The key of an event is an id, which may look like another one's key.
  expect(isMentioned(record({ user_id: 'user:u1' }, 'user:u1'), ofUser('u1'))).toBe(false);
  const letter = (key: string) => ({ payload: '{}', reason: `unlucky; event e17 of ${key}`, stage: 's' });
  expect(isMentioned(record(letter('user:u1')), ofUser('u1'))).toBe(true);
  for (const text of ['user:u12', 'account:user:u1', 'super_user:u1', 'user:u1|x', 'user:u1:x', 'user:u1.x']) {
    expect([text, isMentioned(record({ entityKey: text }), ofUser('u1'))]).toEqual([text, false]);
    expect([text, isMentioned(record(letter(text)), ofUser('u1'))]).toEqual([text, false]);
  }
  const sensor = { key: 'sensor:s1|heat', joinKeys: { sensor_id: 's1', metric: 'heat' } };
  expect(isMentioned(record({ sensor_id: 's1', metric: 'heat' }), sensor)).toBe(true);
  expect(
    isMentioned(
      record([
        { sensor_id: 's1', metric: 'cold' },
        { sensor_id: 's2', metric: 'heat' },
      ]),
      sensor,
    ),
  ).toBe(false);
});

test('numbers are read as they are written, also beyond 2^53', () => {
  const order = (id: string): EntityMention => ({ key: `order:#${id}`, joinKeys: { order_id: id } });
  expect(isMentioned(record('{"order_id": 5}'), order('5'))).toBe(true);
  expect(isMentioned(record('{"order_id": 55}'), order('5'))).toBe(false);
  expect(isMentioned(record('{"order_id": 9007199254740993}'), order('9007199254740993'))).toBe(true);
});
