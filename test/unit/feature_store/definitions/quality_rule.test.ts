import { expect, test } from '@jest/globals';
import { count } from '#feature_store/definitions/aggregations';
import {
  inRange,
  matches,
  notNull,
  oneOf,
  satisfies,
  violationsOf,
} from '#feature_store/definitions/rules/quality_rule';
import { testView } from '../../../support/definitions/test_view.ts';

const rules = {
  a_is_there: notNull('a', 'drop'),
  a_in_range: inRange('a', { min: 1, max: 3 }, 'warn'),
  b_known: oneOf('b', ['x', 'y', true], 'dead_letter'),
  c_like: matches('c', /^[a-z]+$/, 'drop'),
  a_below_d: satisfies(['a', 'd'], 'a is below d', 'warn', ({ a, d }) => d === null || Number(a) < Number(d)),
};
const broken = (values: Parameters<typeof violationsOf>[1]) => violationsOf(rules, values).map(({ name }) => name);

test('each rule says when it is broken; missing values break only the rule that says they must be there', () => {
  expect(broken({ a: 1, b: 'x', c: 'abc', d: 2 })).toEqual([]);
  expect(broken({ a: 3, b: true, c: null, d: null })).toEqual([]);
  expect(broken({ a: null, b: null, c: null, d: null })).toEqual(['a_is_there']);
  expect(broken({})).toEqual(['a_is_there', 'a_below_d']);
});

test('of several broken rules the gravest comes first', () => {
  expect(broken({ a: 0, b: 'z', c: 'A1', d: 0 })).toEqual(['b_known', 'c_like', 'a_in_range', 'a_below_d']);
});

test('a rule about a feature that is not there is refused', () => {
  const define = () => testView(count().over('1h'), { rules: { nonsense: notNull('amuont', 'warn') } });
  expect(define).toThrow(/view v@1, rule nonsense: there is no feature "amuont"/);
});
