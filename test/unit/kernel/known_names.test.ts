import { expect, test } from '@jest/globals';
import { knownNames, similarName } from '#kernel/known_names';

const VIEWS = ['fraud@1', 'user_activity@1', 'user_activity@2'];

test('an unknown name is answered with the known ones, and the one that was probably meant', () => {
  expect(knownNames('fruad@1', VIEWS)).toBe(
    'there is fraud@1, user_activity@1, user_activity@2 (did you mean "fraud@1"?)',
  );
  expect(knownNames('UserActivity@2', VIEWS)).toContain('(did you mean "user_activity@2"?)');
  expect(knownNames('weather', VIEWS)).toBe('there is fraud@1, user_activity@1, user_activity@2');
  expect(knownNames('fraud', [])).toBe('there is none');
});

test('the longest names and lists are not compared', () => {
  expect(similarName('a'.repeat(65), ['a'.repeat(64)])).toBeUndefined();
  expect(similarName('abc', ['a'.repeat(1_000), 'abd'])).toBe('abd');
  expect(
    similarName(
      'abc',
      Array.from({ length: 2_001 }, () => 'abd'),
    ),
  ).toBeUndefined();
});
