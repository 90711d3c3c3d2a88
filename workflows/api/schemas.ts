import { RUN_STATUSES } from '#kernel/workflow_runs';
import { HEADERS, type JsonSchema, problems, REQUEST_HEADERS } from '#monitoring/http/routes/api_schemas';

// What GET /openapi.json says of the routes of workflows.

const text = { type: 'string' } as const;
const nullable = { type: ['string', 'null'] } as const;
const open = { type: 'object', additionalProperties: true } as const;
const anything = {} as const;
const listOf = (items: JsonSchema) => ({ type: 'array', items });
const object = (properties: Record<string, JsonSchema>) => ({
  ...{ type: 'object', properties, required: Object.keys(properties) },
});

const READ = [400, 401, 403, 404, 405, 429, 503] as const;
const CHANGE = [...READ, 409, 413, 415] as const;

const answer = (schema: JsonSchema, example: unknown, codes: readonly number[], status = 200): JsonSchema => ({
  headers: REQUEST_HEADERS,
  response: {
    [status]: { description: 'The answer', headers: HEADERS, content: { 'application/json': { schema, example } } },
    ...problems(codes),
  },
});
const get = (schema: JsonSchema, example: unknown) => answer(schema, example, READ);
const post = (schema: JsonSchema, example: unknown) => answer(schema, example, CHANGE);

const RUN = 'prices@2024-12-20T21:30:00Z';
const shownRun = {
  ...{ id: RUN, workflow: 'collect', status: 'running', input: { schedule: { name: 'prices' } }, output: null },
  ...{ error: null, cause: null, origin: { kind: 'schedule', by: 'prices' }, concurrencyKey: '' },
  ...{ queuedAt: '2024-12-20T21:30:00+00:00', startedAt: '2024-12-20T21:30:00+00:00', endedAt: null },
  at: [{ path: '', state: 'Load', phase: 'enter', task: 'load@1' }],
};
const run = object({
  ...{ id: text, workflow: text, status: { type: 'string', enum: RUN_STATUSES }, input: anything, output: anything },
  ...{ error: nullable, cause: nullable, origin: open, concurrencyKey: text },
  ...{ queuedAt: text, startedAt: nullable, endedAt: nullable, at: listOf(open) },
});
const schedule = object({
  ...{ name: text, workflow: text, when: text, timeZone: text, overlap: text, catchUp: text },
  ...{ status: { type: 'string', enum: ['new', 'active', 'paused'] }, lastTime: nullable, nextTime: nullable },
});
const shownSchedule = {
  ...{ name: 'prices', workflow: 'collect', when: '30 minutes after close of XNYS', timeZone: 'America/New_York' },
  ...{ overlap: 'queue', catchUp: 'all', status: 'active', lastTime: null, nextTime: '2024-12-20T21:30:00+00:00' },
};
const time = object({ time: text, date: text });

export const answers = {
  workflows: get(object({ workflows: listOf(object({ name: text, settings: open, schedules: listOf(text) })) }), {
    workflows: [{ name: 'collect', settings: { maxRuns: 1 }, schedules: ['prices'] }],
  }),
  document: get(object({ name: text, document: open }), {
    name: 'collect',
    document: { StartAt: 'Load', States: { Load: { Type: 'Task', Resource: 'load@1', End: true } } },
  }),
  run: get(run, shownRun),
  runs: get(object({ runs: listOf(run) }), { runs: [shownRun] }),
  changedRun: post(run, shownRun),
  history: get(object({ events: listOf(open) }), {
    events: [
      { n: 1, at: '2024-12-20T21:30:00+00:00', path: '', state: null, attempt: null, kind: 'run_started', detail: {} },
    ],
  }),
  logs: get(object({ lines: listOf(open) }), {
    lines: [
      { n: 1, at: '2024-12-20T21:30:01+00:00', path: '', state: 'Load', attempt: 1, stream: 'log', line: '8 rows' },
    ],
  }),
  lineage: get(
    object({
      ...{ run: text, job: text, startedAt: text, endedAt: nullable, outcome: { type: 'string', enum: RUN_STATUSES } },
      datasets: listOf(object({ direction: { type: 'string', enum: ['input', 'output'] }, name: text, version: text })),
    }),
    {
      ...{ run: RUN, job: 'collect', startedAt: '2024-12-20T21:30:00+00:00', endedAt: null, outcome: 'running' },
      datasets: [{ direction: 'output', name: 'prices/daily', version: '2024-12-20' }],
    },
  ),
  schedules: get(object({ schedules: listOf(schedule) }), { schedules: [shownSchedule] }),
  times: get(object({ times: listOf(time) }), { times: [{ time: '2024-12-20T21:30:00Z', date: '2024-12-20' }] }),
  changedSchedule: post(schedule, shownSchedule),
  backfill: post(object({ schedule: text, times: { type: 'integer' }, started: listOf(text) }), {
    ...{ schedule: 'prices', times: 1, started: [RUN] },
  }),
} as const;

const PARAMETERS = {
  workflow: { ...text, minLength: 1, examples: ['collect'] },
  run: { ...text, minLength: 1, examples: [RUN] },
  schedule: { ...text, minLength: 1, examples: ['prices'] },
} as const;

/** The parameters of a path. */
export const paramsOf = (...names: readonly (keyof typeof PARAMETERS)[]) => ({
  type: 'object',
  properties: Object.fromEntries(names.map((name) => [name, PARAMETERS[name]])),
  required: [...names],
});

const date = { type: 'string', format: 'date' } as const;
const reason = { ...text, minLength: 1, maxLength: 10_000, description: 'Why; kept in the history' } as const;
const limitOf = (most: number, usual: number) => ({ type: 'integer', minimum: 1, maximum: most, default: usual });
const query = (properties: Record<string, JsonSchema>) => ({ type: 'object', additionalProperties: false, properties });
const body = (properties: Record<string, JsonSchema>, required: readonly string[], example: unknown) => ({
  ...{ type: 'object', additionalProperties: false, properties, required, examples: [example] },
});
const NOTHING = { type: ['object', 'null'], additionalProperties: false, properties: {}, examples: [{}] } as const;

export const requests = {
  start: body(
    {
      input: { description: 'Input of the run; default: {}' },
      id: { ...text, minLength: 1, maxLength: 500, description: 'A run that exists with it is not started again' },
    },
    [],
    { input: { model: 'fraud_detector' }, id: 'retrain-2024-12-20' },
  ),
  runs: query({ status: { ...text, enum: RUN_STATUSES }, limit: limitOf(1_000, 50) }),
  logs: query({
    after: { type: 'integer', minimum: 0, default: 0, description: 'Lines with a greater number n' },
    limit: limitOf(10_000, 1_000),
  }),
  cancel: body({ reason }, ['reason'], { reason: 'wrong input' }),
  approve: body(
    {
      reason,
      state: { ...text, description: 'The state, where several wait' },
      reject: { type: 'boolean', default: false, description: 'Fails the state with Approval.Rejected' },
    },
    ['reason'],
    { reason: 'AUC 0.91 against 0.87' },
  ),
  times: query({ count: limitOf(1_000, 8), from: { ...date, description: 'First day; default: times after now' } }),
  backfill: body({ from: date, to: { ...date, description: 'Last day, included' } }, ['from', 'to'], {
    ...{ from: '2024-12-20', to: '2024-12-31' },
  }),
  nothing: NOTHING,
} as const;
