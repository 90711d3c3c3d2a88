import type { JsonValue } from '#kernel/json';

/** A document with an input; two interpreters run it. */
export interface AslCase {
  readonly name: string;
  readonly document: { readonly StartAt: string; readonly States: Readonly<Record<string, unknown>> };
  readonly input: JsonValue;
}

/** Returns what it is given. */
export const ECHO = 'arn:aws:lambda:us-east-1:123456789012:function:echo';
/** Fails: there is no such table. */
export const NO_TABLE = 'arn:aws:states:::dynamodb:getItem';
export const NO_TABLE_ERROR = 'DynamoDB.ResourceNotFoundException';
const noTable = { Type: 'Task', Resource: NO_TABLE, Parameters: { TableName: 'none', Key: { id: { S: '1' } } } };

const cases: AslCase[] = [];
type States = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** States follow in the order they are written in where they name no Next. */
const chain = (states: States): AslCase['document'] => {
  const names = Object.keys(states);
  const linked = names.map((name, index) => {
    const state = states[name] as Readonly<Record<string, unknown>>;
    const isTerminal =
      ['Succeed', 'Fail', 'Choice'].includes(state.Type as string) || 'Next' in state || 'End' in state;
    const after = names[index + 1];
    return [
      name,
      isTerminal ? state : { ...state, ...(after === undefined ? { End: true } : { Next: after }) },
    ] as const;
  });
  return { StartAt: names[0] as string, States: Object.fromEntries(linked) };
};
const add = (name: string, states: States, input: JsonValue = {}): void => {
  cases.push({ name, document: chain(states), input });
};
const pass = (fields: Readonly<Record<string, unknown>> = {}) => ({ Type: 'Pass', ...fields });
const item = {
  id: 7,
  tags: ['a', 'b', 'c'],
  deep: { x: { y: 1 } },
  rows: [
    { n: 1, s: 'u' },
    { n: 2, s: 'v' },
    { n: 3, s: 'w' },
  ],
};

// Pass and the five fields of data flow.
add('pass: input is output', { A: pass() }, item);
add('pass: Result replaces', { A: pass({ Result: { fixed: [1, null, true, 'x'] } }) }, item);
add('pass: Result at ResultPath', { A: pass({ Result: 5, ResultPath: '$.five' }) }, item);
add(
  'pass: Result at a nested ResultPath that is made',
  { A: pass({ Result: 5, ResultPath: '$.new.place.five' }) },
  item,
);
add('pass: Result replaces a field', { A: pass({ Result: 'z', ResultPath: '$.deep.x' }) }, item);
add('pass: ResultPath null discards', { A: pass({ Result: 5, ResultPath: null }) }, item);
add('pass: InputPath selects', { A: pass({ InputPath: '$.deep.x' }) }, item);
add('pass: InputPath null', { A: pass({ InputPath: null }) }, item);
add('pass: OutputPath selects', { A: pass({ OutputPath: '$.deep' }) }, item);
add('pass: OutputPath null', { A: pass({ OutputPath: null }) }, item);
add(
  'pass: InputPath, Parameters, ResultPath and OutputPath together',
  {
    A: pass({
      InputPath: '$.deep',
      Parameters: { got: { 'y.$': '$.x.y' } },
      ResultPath: '$.result',
      OutputPath: '$.result.got',
    }),
  },
  item,
);
add(
  'pass: Parameters with nested fields and arrays',
  {
    A: pass({
      Parameters: { fixed: 1, 'id.$': '$.id', list: [{ 'first.$': '$.tags[0]' }, 2], inner: { 'all.$': '$' } },
    }),
  },
  item,
);
add(
  'pass: a path of the context object',
  { A: pass({ Parameters: { 'state.$': '$$.State.Name', 'input.$': '$$.Execution.Input.id' } }) },
  item,
);
add('paths: wildcard', { A: pass({ Parameters: { 'n.$': '$.rows[*].n' } }) }, item);
add('paths: filter', { A: pass({ Parameters: { 'n.$': '$.rows[?(@.n > 1)].s' } }) }, item);
add('paths: slice', { A: pass({ Parameters: { 'n.$': '$.rows[0:2]' } }) }, item);
add('paths: index', { A: pass({ Parameters: { 'n.$': '$.rows[1].s' } }) }, item);
add('paths: a name in brackets', { A: pass({ Parameters: { 'n.$': "$['deep']['x']" } }) }, item);
add('paths: descendants', { A: pass({ Parameters: { 'n.$': '$..n' } }) }, item);
add('paths: a parameter that is missing', { A: pass({ Parameters: { 'n.$': '$.none' } }) }, item);
add('paths: an InputPath that is missing', { A: pass({ InputPath: '$.none' }) }, item);
add('paths: an OutputPath that is missing', { A: pass({ OutputPath: '$.none' }) }, item);

// Intrinsic functions.
const calls: Readonly<Record<string, string>> = {
  Format: "States.Format('id {} of {} is {}', $.id, 'x', $.deep)",
  'Format of a list': "States.Format('{}', $.tags)",
  JsonToString: 'States.JsonToString($.deep)',
  StringToJson: `States.StringToJson('{"a": [1, 2.5, null]}')`,
  Array: "States.Array($.id, 'x', true)",
  'Array of nothing nested': 'States.Array(States.Array(1), States.Array(2, 3))',
  ArrayPartition: 'States.ArrayPartition($.rows, 2)',
  'ArrayContains: yes': "States.ArrayContains($.tags, 'b')",
  'ArrayContains: no': "States.ArrayContains($.tags, 'z')",
  ArrayRange: 'States.ArrayRange(1, 9, 2)',
  ArrayGetItem: 'States.ArrayGetItem($.tags, 1)',
  ArrayLength: 'States.ArrayLength($.rows)',
  ArrayUnique: 'States.ArrayUnique(States.Array(1, 2, 1, 3, 2))',
  Base64Encode: "States.Base64Encode('data to encode')",
  Base64Decode: "States.Base64Decode('ZGF0YSB0byBlbmNvZGU=')",
  'Hash MD5': "States.Hash('input', 'MD5')",
  'Hash SHA-1': "States.Hash('input', 'SHA-1')",
  'Hash SHA-256': "States.Hash('input', 'SHA-256')",
  'Hash SHA-384': "States.Hash('input', 'SHA-384')",
  'Hash SHA-512': "States.Hash('input', 'SHA-512')",
  JsonMerge: 'States.JsonMerge($.deep, $.rows[0], false)',
  MathAdd: 'States.MathAdd($.id, -3)',
  StringSplit: "States.StringSplit('1,2.3', '.,')",
  nested: "States.Format('{}', States.JsonToString(States.Array(States.MathAdd($.id, 1))))",
};
for (const [name, call] of Object.entries(calls))
  add(`intrinsic: ${name}`, { A: pass({ Parameters: { 'value.$': call } }) }, item);

// Choice.
const choose = (rule: Readonly<Record<string, unknown>>): States => ({
  C: { Type: 'Choice', Choices: [{ ...rule, Next: 'Yes' }], Default: 'No' },
  Yes: pass({ Result: 'yes', End: true }),
  No: pass({ Result: 'no', End: true }),
});
const values = {
  s: 'banana',
  n: 10,
  f: 2.5,
  b: true,
  z: null,
  t: '2026-03-01T12:00:00Z',
  o: { a: 1 },
  l: [1],
  s2: 'banana',
  n2: 11,
  t2: '2026-03-01T12:00:00Z',
  b2: true,
};
const OPERANDS: Readonly<Record<string, readonly [string, JsonValue, JsonValue]>> = {
  String: ['s', 'banana', 'cherry'],
  Numeric: ['n', 10, 11],
  Timestamp: ['t', '2026-03-01T12:00:00Z', '2026-03-02T12:00:00Z'],
};
for (const [type, [field, same, greater]] of Object.entries(OPERANDS)) {
  for (const order of ['Equals', 'LessThan', 'GreaterThan', 'LessThanEquals', 'GreaterThanEquals']) {
    add(`choice: ${type}${order} the same`, choose({ Variable: `$.${field}`, [`${type}${order}`]: same }), values);
    add(
      `choice: ${type}${order} a greater one`,
      choose({ Variable: `$.${field}`, [`${type}${order}`]: greater }),
      values,
    );
    add(
      `choice: ${type}${order}Path`,
      choose({ Variable: `$.${field}`, [`${type}${order}Path`]: `$.${field}2` }),
      values,
    );
  }
  add(`choice: ${type}Equals of another type`, choose({ Variable: '$.o', [`${type}Equals`]: same }), values);
}
add('choice: BooleanEquals', choose({ Variable: '$.b', BooleanEquals: true }), values);
add('choice: BooleanEquals of another', choose({ Variable: '$.b', BooleanEquals: false }), values);
add('choice: BooleanEqualsPath', choose({ Variable: '$.b', BooleanEqualsPath: '$.b2' }), values);
for (const pattern of ['ban*', '*nan*', 'b*a', 'banana', '*', 'ban', 'x*']) {
  add(`choice: StringMatches ${pattern}`, choose({ Variable: '$.s', StringMatches: pattern }), values);
}
for (const test of ['IsNull', 'IsString', 'IsNumeric', 'IsBoolean', 'IsTimestamp', 'IsPresent']) {
  for (const field of ['s', 'n', 'b', 'z', 't', 'o'])
    add(`choice: ${test} of ${field}`, choose({ Variable: `$.${field}`, [test]: true }), values);
  add(`choice: not ${test}`, choose({ Variable: '$.n', [test]: false }), values);
}
add('choice: IsPresent of what is missing', choose({ Variable: '$.none', IsPresent: true }), values);
add('choice: IsPresent false of what is missing', choose({ Variable: '$.none', IsPresent: false }), values);
add(
  'choice: And',
  choose({
    And: [
      { Variable: '$.n', NumericGreaterThan: 5 },
      { Variable: '$.s', StringEquals: 'banana' },
    ],
  }),
  values,
);
add(
  'choice: And, one does not hold',
  choose({
    And: [
      { Variable: '$.n', NumericGreaterThan: 50 },
      { Variable: '$.s', StringEquals: 'banana' },
    ],
  }),
  values,
);
add(
  'choice: Or',
  choose({
    Or: [
      { Variable: '$.n', NumericGreaterThan: 50 },
      { Variable: '$.s', StringEquals: 'banana' },
    ],
  }),
  values,
);
add('choice: Not', choose({ Not: { Variable: '$.n', NumericGreaterThan: 50 } }), values);
add(
  'choice: nested',
  choose({
    Not: {
      Or: [
        {
          And: [
            { Variable: '$.n', NumericEquals: 10 },
            { Variable: '$.b', BooleanEquals: false },
          ],
        },
        { Variable: '$.z', IsNull: false },
      ],
    },
  }),
  values,
);
add(
  'choice: no rule holds and no Default',
  {
    C: { Type: 'Choice', Choices: [{ Variable: '$.n', NumericEquals: 99, Next: 'Yes' }] },
    Yes: pass({ End: true }),
  },
  values,
);
add(
  'choice: the first rule that holds',
  {
    C: {
      Type: 'Choice',
      Choices: [
        { Variable: '$.n', NumericGreaterThan: 1, Next: 'One' },
        { Variable: '$.n', NumericGreaterThan: 2, Next: 'Two' },
      ],
    },
    One: pass({ Result: 1, End: true }),
    Two: pass({ Result: 2, End: true }),
  },
  values,
);
add(
  'choice: InputPath and OutputPath',
  {
    C: {
      Type: 'Choice',
      InputPath: '$.o',
      OutputPath: '$.a',
      Choices: [{ Variable: '$.a', NumericEquals: 1, Next: 'Yes' }],
    },
    Yes: pass({ End: true }),
  },
  values,
);
add(
  'choice: a loop that counts',
  {
    Add: pass({ Parameters: { 'n.$': 'States.MathAdd($.n, 1)' } }),
    C: { Type: 'Choice', Choices: [{ Variable: '$.n', NumericLessThan: 15, Next: 'Add' }], Default: 'Done' },
    Done: { Type: 'Succeed' },
  },
  values,
);

// Wait, Succeed, Fail.
add('wait: Seconds', { W: { Type: 'Wait', Seconds: 1 }, A: pass() }, item);
add('wait: SecondsPath', { W: { Type: 'Wait', SecondsPath: '$.s' }, A: pass() }, { s: 1 });
add('wait: Timestamp that has passed', { W: { Type: 'Wait', Timestamp: '2020-01-01T00:00:00Z' }, A: pass() }, item);
add(
  'wait: TimestampPath that has passed',
  { W: { Type: 'Wait', TimestampPath: '$.t' }, A: pass() },
  { t: '2020-01-01T00:00:00Z' },
);
add('succeed: InputPath and OutputPath', { S: { Type: 'Succeed', InputPath: '$.deep', OutputPath: '$.x' } }, item);
add('fail: Error and Cause', { F: { Type: 'Fail', Error: 'Too.Small', Cause: 'it is too small' } }, item);
add('fail: without Error and Cause', { F: { Type: 'Fail' } }, item);
add(
  'fail: ErrorPath and CausePath',
  { F: { Type: 'Fail', ErrorPath: '$.e', CausePath: '$.c' } },
  { e: 'Read.Error', c: 'read' },
);
add(
  'fail: CausePath of a function',
  { F: { Type: 'Fail', Error: 'E', CausePath: "States.Format('n is {}', $.n)" } },
  { n: 3 },
);

// Task.
const echo = (fields: Readonly<Record<string, unknown>> = {}) => ({ Type: 'Task', Resource: ECHO, ...fields });
add('task: input is output', { T: echo() }, item);
add('task: Parameters', { T: echo({ Parameters: { 'a.$': '$.id', b: 2 } }) }, item);
add('task: ResultSelector', { T: echo({ ResultSelector: { 'picked.$': '$.deep.x.y' } }) }, item);
add('task: ResultPath', { T: echo({ InputPath: '$.deep', ResultPath: '$.copy' }) }, item);
add(
  'task: all five',
  {
    T: echo({
      InputPath: '$.deep',
      Parameters: { 'p.$': '$.x' },
      ResultSelector: { 'r.$': '$.p.y' },
      ResultPath: '$.out',
      OutputPath: '$.out',
    }),
  },
  item,
);
add('task: fails', { T: noTable }, item);
add(
  'task: caught by name',
  {
    T: { ...noTable, Catch: [{ ErrorEquals: [NO_TABLE_ERROR], Next: 'H' }] },
    N: pass({ Result: 'not here', End: true }),
    H: pass({ Result: 'caught' }),
  },
  item,
);
add(
  'task: caught by States.TaskFailed',
  {
    T: { ...noTable, Catch: [{ ErrorEquals: ['States.TaskFailed'], Next: 'H' }] },
    N: pass({ End: true }),
    H: pass({ Result: 'caught' }),
  },
  item,
);
add(
  'task: caught by States.ALL with ResultPath',
  {
    T: {
      ...noTable,
      Catch: [
        { ErrorEquals: ['Other'], Next: 'N' },
        { ErrorEquals: ['States.ALL'], ResultPath: '$.error', Next: 'H' },
      ],
    },
    N: pass({ End: true }),
    H: pass({ Parameters: { 'id.$': '$.id', 'error.$': '$.error.Error' } }),
  },
  item,
);
add(
  'task: not caught by another name',
  { T: { ...noTable, Catch: [{ ErrorEquals: ['Other'], Next: 'H' }] }, H: pass() },
  item,
);
add(
  'task: retried, then caught',
  {
    T: {
      ...noTable,
      Retry: [{ ErrorEquals: ['States.ALL'], IntervalSeconds: 1, MaxAttempts: 1 }],
      Catch: [{ ErrorEquals: ['States.ALL'], Next: 'H' }],
    },
    N: pass({ End: true }),
    H: pass({ Result: 'caught' }),
  },
  item,
);
add('task: retried no time', { T: { ...noTable, Retry: [{ ErrorEquals: ['States.ALL'], MaxAttempts: 0 }] } }, item);

// Parallel.
const machine = (states: States): unknown => chain(states);
add(
  'parallel: results in order',
  {
    P: {
      Type: 'Parallel',
      Branches: [machine({ A: pass({ Result: 1 }) }), machine({ B: echo() }), machine({ C: pass({ Result: 3 }) })],
    },
  },
  item,
);
add(
  'parallel: Parameters, ResultSelector and ResultPath',
  {
    P: {
      Type: 'Parallel',
      Parameters: { 'd.$': '$.deep' },
      ResultSelector: { 'first.$': '$[0]', 'second.$': '$[1]' },
      ResultPath: '$.both',
      Branches: [machine({ A: pass() }), machine({ B: pass({ Result: 'b' }) })],
    },
  },
  item,
);
add(
  'parallel: a branch fails',
  {
    P: {
      Type: 'Parallel',
      Branches: [machine({ A: pass() }), machine({ F: { Type: 'Fail', Error: 'Branch.Error', Cause: 'it failed' } })],
    },
  },
  item,
);
add(
  'parallel: a branch fails and is caught',
  {
    P: {
      Type: 'Parallel',
      Branches: [machine({ A: pass() }), machine({ F: { Type: 'Fail', Error: 'Branch.Error', Cause: 'it failed' } })],
      Catch: [{ ErrorEquals: ['Branch.Error'], ResultPath: '$.e', Next: 'H' }],
    },
    N: pass({ End: true }),
    H: pass({ Parameters: { 'e.$': '$.e.Error', 'c.$': '$.e.Cause', 'id.$': '$.id' } }),
  },
  item,
);
add(
  'parallel: retried, then fails',
  {
    P: {
      Type: 'Parallel',
      Branches: [machine({ F: { Type: 'Fail', Error: 'Branch.Error' } })],
      Retry: [{ ErrorEquals: ['Branch.Error'], IntervalSeconds: 1, MaxAttempts: 1 }],
    },
  },
  item,
);
add(
  'parallel: within parallel',
  {
    P: {
      Type: 'Parallel',
      Branches: [
        machine({
          Q: { Type: 'Parallel', Branches: [machine({ A: pass({ Result: 1 }) }), machine({ B: pass({ Result: 2 }) })] },
        }),
        machine({ C: pass({ Result: 3 }) }),
      ],
    },
  },
  item,
);
add(
  'parallel: a branch waits',
  {
    P: {
      Type: 'Parallel',
      Branches: [
        machine({ W: { Type: 'Wait', Seconds: 1 }, A: pass({ Result: 1 }) }),
        machine({ B: pass({ Result: 2 }) }),
      ],
    },
  },
  item,
);

// Map.
const each = (states: States, fields: Readonly<Record<string, unknown>> = {}) => ({
  Type: 'Map',
  ItemProcessor: machine(states),
  ...fields,
});
add('map: the items of the input', { M: each({ A: pass() }) }, [1, 2, 3]);
add(
  'map: ItemsPath',
  { M: each({ A: pass({ Parameters: { 'twice.$': 'States.MathAdd($.n, $.n)' } }) }, { ItemsPath: '$.rows' }) },
  item,
);
add('map: no items', { M: each({ A: pass() }, { ItemsPath: '$.none' }) }, { none: [] });
add(
  'map: ItemSelector',
  {
    M: each(
      { A: pass() },
      {
        ItemsPath: '$.tags',
        ItemSelector: { 'index.$': '$$.Map.Item.Index', 'value.$': '$$.Map.Item.Value', 'id.$': '$.id' },
      },
    ),
  },
  item,
);
add(
  'map: Parameters, the older name',
  {
    M: {
      Type: 'Map',
      Iterator: machine({ A: pass() }),
      ItemsPath: '$.tags',
      Parameters: { 'value.$': '$$.Map.Item.Value', 'id.$': '$.id' },
    },
  },
  item,
);
add(
  'map: ResultSelector and ResultPath',
  {
    M: each(
      { A: pass() },
      { ItemsPath: '$.tags', ResultSelector: { 'count.$': 'States.ArrayLength($)' }, ResultPath: '$.done' },
    ),
  },
  item,
);
add(
  'map: MaxConcurrency',
  { M: each({ A: echo(), B: pass() }, { ItemsPath: '$.list', MaxConcurrency: 2 }) },
  { list: [5, 4, 3, 2, 1] },
);
add(
  'map: an item fails',
  {
    M: each({
      C: { Type: 'Choice', Choices: [{ Variable: '$', NumericEquals: 2, Next: 'F' }], Default: 'S' },
      F: { Type: 'Fail', Error: 'Item.Error', Cause: 'two' },
      S: { Type: 'Succeed' },
    }),
  },
  [1, 2, 3],
);
add(
  'map: an item fails and is caught',
  {
    M: each(
      { F: { Type: 'Fail', Error: 'Item.Error', Cause: 'all' } },
      { Catch: [{ ErrorEquals: ['Item.Error'], Next: 'H' }] },
    ),
    N: pass({ End: true }),
    H: pass(),
  },
  [1],
);
add('map: within map', { M: each({ N: each({ A: pass({ Parameters: { 'v.$': '$' } }) }) }) }, [[1, 2], [3]]);
add(
  'map: of parallel',
  { M: each({ P: { Type: 'Parallel', Branches: [machine({ A: pass() }), machine({ B: pass({ Result: 'b' }) })] } }) },
  [1, 2],
);

export const ASL_CASES: readonly AslCase[] = cases;

/** Where moto leaves the language, as its specification (states-language.net) and Step Functions have it: the outcome that is right, and why. */
export const ASL_DIFFERENCES: Readonly<Record<string, { readonly outcome: unknown; readonly why: string }>> = {
  'paths: index': {
    outcome: { status: 'SUCCEEDED', output: { n: 'v' } },
    why: 'a path of one place gives its value; moto gives an array of it when the field follows an index',
  },
  'choice: no rule holds and no Default': {
    outcome: { status: 'FAILED', error: 'States.NoChoiceMatched' },
    why: 'the specification names this error; moto raises an error of Python, which it reports as States.Runtime',
  },
};
