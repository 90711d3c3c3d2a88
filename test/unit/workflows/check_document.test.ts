import { describe, expect, test } from '@jest/globals';
import { documentProblems } from '#workflows/document/check_document';

const one = (state: Readonly<Record<string, unknown>>): unknown => ({ StartAt: 'A', States: { A: state } });
const pass = { Type: 'Pass', End: true };

describe('a document that can run has no problem', () => {
  test.each([
    ['one state', one(pass)],
    [
      'a loop with a way out',
      {
        StartAt: 'A',
        States: {
          A: { Type: 'Wait', Seconds: 1, Next: 'B' },
          B: { Type: 'Choice', Choices: [{ Variable: '$.done', BooleanEquals: true, Next: 'C' }], Default: 'A' },
          C: { Type: 'Succeed' },
        },
      },
    ],
    [
      'a task that waits for a token',
      one({ Type: 'Task', Resource: 'known.waitForTaskToken', TimeoutSeconds: 9, HeartbeatSeconds: 3, End: true }),
    ],
  ])('%s', (_, document) => {
    expect(documentProblems(document, (task) => task === 'known')).toEqual([]);
  });
});

describe('a document that cannot run is refused with the place', () => {
  test.each<[string, unknown, RegExp]>([
    ['no object', 5, /expected an object/],
    ['JSONata', { ...(one(pass) as object), QueryLanguage: 'JSONata' }, /^QueryLanguage: JSONata is not supported/],
    ['JSONata of a state', one({ ...pass, QueryLanguage: 'JSONata' }), /^States\.A\.QueryLanguage: JSONata/],
    ['a field of JSONata', one({ ...pass, Output: '{% 1 %}' }), /^States\.A\.Output: this field is not supported/],
    ['variables', one({ ...pass, Assign: { x: 1 } }), /^States\.A\.Assign/],
    ['a start that is missing', { StartAt: 'B', States: { A: pass } }, /^StartAt: there is no state "B"/],
    ['a target that is missing', one({ Type: 'Pass', Next: 'B' }), /^States\.A\.Next: there is no state "B"/],
    ['neither Next nor End', one({ Type: 'Pass' }), /^States\.A: expected either "Next"/],
    ['Next and End', one({ ...pass, Next: 'A' }), /^States\.A: expected either "Next"/],
    [
      'a cycle of two',
      { StartAt: 'A', States: { A: { Type: 'Pass', Next: 'B' }, B: { Type: 'Pass', Next: 'A' } } },
      /^States\.A: the cycle A -> B -> A has no way to an end/,
    ],
    ['a cycle of one', one({ Type: 'Wait', Seconds: 1, Next: 'A' }), /the cycle A -> A/],
    [
      'a state that nothing leads to',
      { StartAt: 'A', States: { A: pass, B: pass } },
      /^States\.B: no state leads to it/,
    ],
    [
      'a task that is missing',
      one({ Type: 'Task', Resource: 'none@3', End: true }),
      /^States\.A\.Resource: there is no task "none@3"/,
    ],
    ['a type that is none', one({ Type: 'Task2', End: true }), /^States\.A\.Type/],
    ['a path that cannot be read', one({ ...pass, InputPath: '$.a[' }), /^States\.A\.InputPath/],
    ['a ResultPath of several places', one({ ...pass, ResultPath: '$.a[*]' }), /^States\.A\.ResultPath/],
    [
      'a function that is none',
      one({ ...pass, Parameters: { 'x.$': 'States.None(1)' } }),
      /^States\.A\.Parameters\.x\.\$: States\.None is no intrinsic/,
    ],
    [
      'a function with too few arguments',
      one({ ...pass, Parameters: { a: [{ 'x.$': 'States.MathAdd(1)' }] } }),
      /^States\.A\.Parameters\.a\[0\]\.x\.\$/,
    ],
    [
      'an operator that is none',
      {
        StartAt: 'A',
        States: {
          A: { Type: 'Choice', Choices: [{ Variable: '$.x', NumberEquals: 1, Next: 'B' }] },
          B: { Type: 'Succeed' },
        },
      },
      /^States\.A\.Choices\[0\]: expected one operator/,
    ],
    [
      'a rule within a rule with Next',
      {
        StartAt: 'A',
        States: {
          A: { Type: 'Choice', Choices: [{ Not: { Variable: '$.x', IsNull: true, Next: 'B' }, Next: 'B' }] },
          B: { Type: 'Succeed' },
        },
      },
      /^States\.A\.Choices\[0\]\.Not\.Next/,
    ],
    [
      'States.ALL before others',
      one({
        Type: 'Task',
        Resource: 'known',
        End: true,
        Retry: [{ ErrorEquals: ['States.ALL'] }, { ErrorEquals: ['E'] }],
      }),
      /^States\.A\.Retry\[0\]: States\.ALL comes last/,
    ],
    [
      'a heartbeat longer than the timeout',
      one({ Type: 'Task', Resource: 'known', End: true, TimeoutSeconds: 3, HeartbeatSeconds: 3 }),
      /^States\.A\.HeartbeatSeconds/,
    ],
    [
      'a problem within a branch',
      one({ Type: 'Parallel', End: true, Branches: [one(pass), one({ Type: 'Pass', Next: 'Z' })] }),
      /^States\.A\.Branches\[1\]\.States\.A\.Next/,
    ],
    [
      'a distributed map',
      one({
        Type: 'Map',
        End: true,
        ItemProcessor: { ...(one(pass) as object), ProcessorConfig: { Mode: 'DISTRIBUTED' } },
      }),
      /^States\.A\.ItemProcessor\.ProcessorConfig\.Mode/,
    ],
    [
      'what only the validator finds',
      one({ Type: 'Wait', Seconds: 1, Timestamp: '2026-01-01T00:00:00Z', End: true }),
      /WAIT_DURATION|Seconds/,
    ],
    ['a wrong type of a field', one({ Type: 'Wait', Seconds: 'one', End: true }), /Seconds|SCHEMA/],
  ])('%s', (_, document, problem) => {
    const problems = documentProblems(document, (task) => task === 'known');
    expect(problems.join('\n')).toMatch(problem);
  });
});
