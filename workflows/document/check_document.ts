import validate from 'asl-validator';
import { WorkflowDocumentError } from '../errors.ts';
import { type ChoiceRule, OPERATORS, operatorOf } from '../language/choice.ts';
import { pathProblem, referenceSteps } from '../language/paths.ts';
import { dynamicProblem, templateProblems } from '../language/payload_template.ts';
import { type StateMachine, taskOf, type WorkflowDocument } from './document.ts';

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const COMMON = ['Type', 'Comment', 'QueryLanguage', 'InputPath', 'OutputPath'];
const FLOW = ['Next', 'End'];
const RETRIED = ['Parameters', 'ResultSelector', 'ResultPath', 'Retry', 'Catch'];
/** Every field that the interpreter reads, of each type of state. */
const FIELDS: Readonly<Record<string, ReadonlySet<string>>> = Object.fromEntries(
  Object.entries({
    Task: [
      ...FLOW,
      ...RETRIED,
      'Resource',
      'TimeoutSeconds',
      'TimeoutSecondsPath',
      'HeartbeatSeconds',
      'HeartbeatSecondsPath',
    ],
    Pass: [...FLOW, 'Parameters', 'Result', 'ResultPath'],
    Choice: ['Choices', 'Default'],
    Wait: [...FLOW, 'Seconds', 'SecondsPath', 'Timestamp', 'TimestampPath'],
    Succeed: [],
    Fail: ['Error', 'ErrorPath', 'Cause', 'CausePath'],
    Parallel: [...FLOW, ...RETRIED, 'Branches'],
    Map: [
      ...FLOW,
      ...RETRIED,
      'ItemsPath',
      'ItemProcessor',
      'Iterator',
      'ItemSelector',
      'MaxConcurrency',
      'MaxConcurrencyPath',
    ],
  }).map(([type, fields]) => [type, new Set([...COMMON, ...fields])]),
);
const OF_DOCUMENT = new Set(['Comment', 'Version', 'QueryLanguage', 'StartAt', 'States', 'TimeoutSeconds']);
const OF_MACHINE = new Set(['Comment', 'QueryLanguage', 'StartAt', 'States', 'ProcessorConfig']);
const JSONATA =
  'JSONata is not supported: write the fields with JSONPath (InputPath, Parameters, ResultSelector, ResultPath, OutputPath)';
const LONGEST_NAME = 80;

/**
 * Checks a document.
 *
 * @param hasTask - whether a task exists; absent: not checked
 * @throws {@link WorkflowDocumentError} with every problem and its place
 */
export function checkDocument(name: string, document: unknown, hasTask?: (task: string) => boolean): WorkflowDocument {
  const problems = documentProblems(document, hasTask);
  if (problems.length > 0) throw new WorkflowDocumentError(name, problems);
  return document as WorkflowDocument;
}

/** Returns what is wrong with a document, each problem with its place. */
export function documentProblems(document: unknown, hasTask?: (task: string) => boolean): readonly string[] {
  if (!isObject(document)) return [`expected an object with StartAt and States, got ${JSON.stringify(document)}`];
  const own = [
    ...unknownFields(document, OF_DOCUMENT, ''),
    ...(document.QueryLanguage === 'JSONata' ? [`QueryLanguage: ${JSONATA}`] : []),
    ...machineProblems(document, '', hasTask),
  ];
  // The own checks name the place; the validator's schema covers what they do not.
  return own.length > 0 ? own : validatorProblems(document);
}

function validatorProblems(document: Fields): readonly string[] {
  // The validator writes into what it is given.
  const { errors } = validate(structuredClone(document), { checkPaths: true, checkArn: false });
  return errors.map(({ 'Error code': code, Message: message, path, schemaError }) => {
    const place = schemaError?.instancePath ?? path;
    const at = place === undefined || place === '' ? '' : `${place.replace(/^\//, '').replaceAll('/', '.')}: `;
    return `${at}${schemaError?.message ?? message} (${code})`;
  });
}

const unknownFields = (fields: Fields, known: ReadonlySet<string>, place: string): readonly string[] =>
  Object.keys(fields)
    .filter((name) => !known.has(name))
    .map((name) => `${place}${name}: this field is not supported here; supported are ${[...known].join(', ')}`);

function machineProblems(
  machine: Fields,
  place: string,
  hasTask: ((task: string) => boolean) | undefined,
): readonly string[] {
  const { StartAt: start, States: states } = machine;
  if (!isObject(states) || Object.keys(states).length === 0) return [`${place}States: expected an object of states`];
  const names = new Set(Object.keys(states));
  const target = (at: string, name: unknown): readonly string[] =>
    typeof name === 'string' && names.has(name)
      ? []
      : [`${at}: there is no state ${JSON.stringify(name)} beside it; there is ${[...names].join(', ')}`];
  const problems = [
    ...target(`${place}StartAt`, start),
    ...Object.entries(states).flatMap(([name, state]) => {
      const at = `${place}States.${name}`;
      if (!isObject(state)) return [`${at}: expected an object`];
      return [
        ...(name.length > LONGEST_NAME ? [`${at}: a name has at most ${LONGEST_NAME} characters`] : []),
        ...stateProblems(state, at, hasTask),
        ...targetsOf(state).flatMap(([field, to]) => target(`${at}.${field}`, to)),
      ];
    }),
  ];
  return problems.length > 0 ? problems : endlessProblems(machine as unknown as StateMachine, place);
}

/** Names of states that can follow, with the fields that name them. */
function targetsOf(state: Fields): readonly (readonly [string, unknown])[] {
  const list = (value: unknown): readonly Fields[] => (Array.isArray(value) ? value.filter(isObject) : []);
  return [
    ...('Next' in state ? [['Next', state.Next] as const] : []),
    ...('Default' in state ? [['Default', state.Default] as const] : []),
    ...list(state.Choices).map((rule, index) => [`Choices[${index}].Next`, rule.Next] as const),
    ...list(state.Catch).map((catcher, index) => [`Catch[${index}].Next`, catcher.Next] as const),
  ];
}

function stateProblems(state: Fields, at: string, hasTask: ((task: string) => boolean) | undefined): readonly string[] {
  const type = state.Type;
  const known = typeof type === 'string' && Object.hasOwn(FIELDS, type) ? FIELDS[type] : undefined;
  if (known === undefined) {
    return [`${at}.Type: ${JSON.stringify(type)} is no type of state; there is ${Object.keys(FIELDS).join(', ')}`];
  }
  if (state.QueryLanguage === 'JSONata') return [`${at}.QueryLanguage: ${JSONATA}`];
  return [
    ...unknownFields(state, known, `${at}.`),
    ...flowProblems(state, type as string, at),
    ...pathProblems(state, at),
    ...['Parameters', 'ResultSelector', 'ItemSelector'].flatMap((field) =>
      templateProblems(state[field], `${at}.${field}`),
    ),
    ...(type === 'Choice' ? choiceProblems(state, at) : []),
    ...(type === 'Task' ? taskProblems(state, at, hasTask) : []),
    ...errorNameProblems(state, at),
    ...machinesIn(state).flatMap(([field, machine]) =>
      isObject(machine)
        ? [
            ...unknownFields(machine, OF_MACHINE, `${at}.${field}.`),
            ...processorProblems(machine, `${at}.${field}`),
            ...machineProblems(machine, `${at}.${field}.`, hasTask),
          ]
        : [`${at}.${field}: expected an object with StartAt and States`],
    ),
  ];
}

function flowProblems(state: Fields, type: string, at: string): readonly string[] {
  if (type === 'Succeed' || type === 'Fail' || type === 'Choice') return [];
  if ('Next' in state === 'End' in state) return [`${at}: expected either "Next" with a state or "End": true`];
  return 'End' in state && state.End !== true ? [`${at}.End: expected true`] : [];
}

function processorProblems(machine: Fields, at: string): readonly string[] {
  const { ProcessorConfig: config } = machine;
  if (config === undefined || (isObject(config) && (config.Mode === undefined || config.Mode === 'INLINE'))) return [];
  return [`${at}.ProcessorConfig.Mode: only INLINE is supported`];
}

function machinesIn(state: Fields): readonly (readonly [string, unknown])[] {
  const branches = Array.isArray(state.Branches) ? state.Branches : [];
  return [
    ...branches.map((branch, index) => [`Branches[${index}]`, branch] as const),
    ...['ItemProcessor', 'Iterator'].filter((field) => field in state).map((field) => [field, state[field]] as const),
  ];
}

const PATHS = [
  'InputPath',
  'OutputPath',
  'ItemsPath',
  'SecondsPath',
  'TimestampPath',
  'TimeoutSecondsPath',
  'HeartbeatSecondsPath',
  'MaxConcurrencyPath',
];

function pathProblems(state: Fields, at: string): readonly string[] {
  const read = PATHS.filter((field) => field in state && state[field] !== null).flatMap((field) => {
    const path = state[field];
    const problem =
      typeof path === 'string'
        ? path.startsWith('$')
          ? pathProblem(path)
          : 'a path begins with $'
        : 'expected a path';
    return problem === undefined ? [] : [`${at}.${field}: ${problem}`];
  });
  const computed = ['ErrorPath', 'CausePath']
    .filter((field) => field in state)
    .flatMap((field) => {
      const problem = dynamicProblem(state[field]);
      return problem === undefined ? [] : [`${at}.${field}: ${problem}`];
    });
  const results = [
    ['ResultPath', state] as const,
    ...listOf(state.Catch).map((catcher, index) => [`Catch[${index}].ResultPath`, catcher] as const),
  ];
  const written = results.flatMap(([field, fields]) => {
    const path = fields.ResultPath;
    if (path === undefined || path === null) return [];
    const isReference = typeof path === 'string' && referenceSteps(path) !== undefined;
    return isReference ? [] : [`${at}.${field}: ${JSON.stringify(path)} is not a path of one place, such as $.result`];
  });
  return [...read, ...computed, ...written];
}

const listOf = (value: unknown): readonly Fields[] => (Array.isArray(value) ? value.filter(isObject) : []);

function choiceProblems(state: Fields, at: string): readonly string[] {
  if (!Array.isArray(state.Choices) || state.Choices.length === 0) return [`${at}.Choices: expected at least one rule`];
  return state.Choices.flatMap((rule, index) => ruleProblems(rule, `${at}.Choices[${index}]`, true));
}

function ruleProblems(rule: unknown, at: string, isTop: boolean): readonly string[] {
  if (!isObject(rule)) return [`${at}: expected an object`];
  const nested = isTop || !('Next' in rule) ? [] : [`${at}.Next: only the outermost rule has Next`];
  for (const [field, rules] of [
    ['And', rule.And],
    ['Or', rule.Or],
  ] as const) {
    if (rules === undefined) continue;
    if (!Array.isArray(rules) || rules.length === 0) return [`${at}.${field}: expected rules`];
    return [...nested, ...rules.flatMap((each, index) => ruleProblems(each, `${at}.${field}[${index}]`, false))];
  }
  if (rule.Not !== undefined) return [...nested, ...ruleProblems(rule.Not, `${at}.Not`, false)];
  const operator = operatorOf(rule as ChoiceRule);
  const others = Object.keys(rule).filter((name) => !['Variable', 'Next', 'Comment', operator].includes(name));
  if (operator === undefined || others.length > 0) {
    const found = others.length === 0 ? 'none' : others.join(', ');
    return [
      ...nested,
      `${at}: expected one operator, got ${[operator, ...others].filter(Boolean).join(', ') || found}; operators are ${OPERATORS.join(', ')}`,
    ];
  }
  const { Variable: variable } = rule;
  const problem = typeof variable === 'string' && variable.startsWith('$') ? pathProblem(variable) : 'expected a path';
  const operand = rule[operator];
  const operandProblem = operator.endsWith('Path') && typeof operand === 'string' ? pathProblem(operand) : undefined;
  return [
    ...nested,
    ...(problem === undefined ? [] : [`${at}.Variable: ${problem}`]),
    ...(operandProblem === undefined ? [] : [`${at}.${operator}: ${operandProblem}`]),
  ];
}

function taskProblems(state: Fields, at: string, hasTask: ((task: string) => boolean) | undefined): readonly string[] {
  const { Resource: resource, TimeoutSeconds: timeout, HeartbeatSeconds: heartbeat } = state;
  if (typeof resource !== 'string' || resource === '')
    return [`${at}.Resource: expected the name of a task, such as "train@2"`];
  const { task } = taskOf(resource);
  return [
    ...(hasTask === undefined || hasTask(task) ? [] : [`${at}.Resource: there is no task "${task}"`]),
    ...(typeof timeout === 'number' && typeof heartbeat === 'number' && heartbeat >= timeout
      ? [`${at}.HeartbeatSeconds: ${heartbeat} must be less than TimeoutSeconds, ${timeout}`]
      : []),
  ];
}

/** `States.ALL` stands alone, in the last retrier or catcher. */
function errorNameProblems(state: Fields, at: string): readonly string[] {
  return ['Retry', 'Catch'].flatMap((field) => {
    const rules = listOf(state[field]);
    return rules.flatMap((rule, index) => {
      const names = rule.ErrorEquals;
      if (!Array.isArray(names) || names.length === 0)
        return [`${at}.${field}[${index}].ErrorEquals: expected names of errors`];
      if (!names.includes('States.ALL')) return [];
      if (names.length > 1) return [`${at}.${field}[${index}].ErrorEquals: States.ALL stands alone`];
      return index === rules.length - 1 ? [] : [`${at}.${field}[${index}]: States.ALL comes last`];
    });
  });
}

/** States that cannot end: a cycle without a way out, and what leads only there. */
function endlessProblems({ States: states, StartAt: start }: StateMachine, place: string): readonly string[] {
  const next = new Map(
    Object.entries(states).map(([name, state]) => [
      name,
      targetsOf(state as unknown as Fields).map(([, to]) => to as string),
    ]),
  );
  const isEnd = (name: string): boolean => {
    const state = states[name] as unknown as Fields;
    return state.Type === 'Succeed' || state.Type === 'Fail' || state.End === true;
  };
  const ends = new Set(Object.keys(states).filter(isEnd));
  for (let before = -1; before !== ends.size; ) {
    before = ends.size;
    for (const [name, targets] of next) if (targets.some((to) => ends.has(to))) ends.add(name);
  }
  const reached = new Set<string>();
  const visit = [start];
  for (let name = visit.pop(); name !== undefined; name = visit.pop()) {
    if (reached.has(name)) continue;
    reached.add(name);
    visit.push(...(next.get(name) ?? []));
  }
  const endless = [...reached].filter((name) => !ends.has(name));
  const unreached = Object.keys(states).filter((name) => !reached.has(name));
  return [
    ...(endless.length === 0
      ? []
      : [`${place}States.${endless[0]}: the cycle ${cycleOf(endless[0] as string, next)} has no way to an end`]),
    ...unreached.map((name) => `${place}States.${name}: no state leads to it`),
  ];
}

function cycleOf(start: string, next: ReadonlyMap<string, readonly string[]>): string {
  const path: string[] = [];
  for (let name: string | undefined = start; name !== undefined && !path.includes(name); name = next.get(name)?.[0])
    path.push(name);
  const last = next.get(path.at(-1) as string)?.[0];
  const from = last === undefined ? 0 : path.indexOf(last);
  return [...path.slice(from), last].filter((name) => name !== undefined).join(' -> ');
}
