import { expect, test } from '@jest/globals';
import { type Flow, workflow } from '#workflows/document/define_workflow';
import { task } from '#workflows/tasks/task';

const validate = task('validate', async (input: { readonly rows: number }) => ({ rows: input.rows, isValid: true }));
const train = task('train@2', async (input: { readonly rows: number; readonly isValid: boolean }) => ({
  auc: input.rows,
}));
const notify = task('notify', async (input: { readonly text: string }) => input.text);

test('steps in TypeScript give the document that one would write by hand', () => {
  const { document } = workflow<{ rows: number }>('retrain', (w) =>
    w
      .task('Validate', validate)
      .task('Train', train, { as: 'model', catch: { 'Train.Failed': (f) => f.fail('Failed', 'E', 'c') } })
      .choice(
        'IsGood',
        [[{ Variable: '$.model.auc', NumericGreaterThan: 0.8 }, (f) => f.approval('Approve', { as: 'approval' })]],
        (f) => f.succeed('NotBetter'),
      )
      .task('Notify', notify, { parameters: { text: 'done' } }),
  );
  expect(document).toEqual({
    StartAt: 'Validate',
    States: {
      Validate: { Type: 'Task', Resource: 'validate@1', Next: 'Train' },
      Train: {
        ...{ Type: 'Task', Resource: 'train@2', ResultPath: '$.model', Next: 'IsGood' },
        Catch: [{ ErrorEquals: ['Train.Failed'], ResultPath: '$.error', Next: 'Failed' }],
      },
      Failed: { Type: 'Fail', Error: 'E', Cause: 'c' },
      IsGood: {
        ...{ Type: 'Choice', Default: 'NotBetter' },
        Choices: [{ Variable: '$.model.auc', NumericGreaterThan: 0.8, Next: 'Approve' }],
      },
      Approve: { Type: 'Task', Resource: 'approval.waitForTaskToken', ResultPath: '$.approval', Next: 'Notify' },
      NotBetter: { Type: 'Succeed' },
      Notify: { Type: 'Task', Resource: 'notify@1', Parameters: { text: 'done' }, End: true },
    },
  });
});

test('a step takes what the step before returns: others do not compile', () => {
  workflow<{ rows: number }>('typed', (w) => w.task('A', validate).task('B', train));
  // @ts-expect-error: train needs isValid.
  workflow<{ rows: number }>('typed', (w) => w.task('B', train));
  // @ts-expect-error: notify needs a string, not rows.
  workflow<{ rows: number }>('typed', (w) => w.task('A', validate).task('B', notify));
});

test('branches and items have types and machines of their own', () => {
  const { document } = workflow<readonly { rows: number }[]>('fan', (w) =>
    w
      .map('Each', { maxConcurrency: 2 }, (f: Flow<{ rows: number }>) => f.task('Validate', validate))
      .parallel(
        'Both',
        (f) => f.pass('One', { result: 1 }),
        (f) => f.pass('Two', { result: 'two' }),
      ),
  );
  expect(Object.keys(document.States)).toEqual(['Each', 'Both']);
  expect(document.States.Both).toMatchObject({ Branches: [{ StartAt: 'One' }, { StartAt: 'Two' }], End: true });
});
