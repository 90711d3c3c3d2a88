import { functionIdentityOf } from '#kernel/functions/function_identity';
import { canonicalJson } from '#kernel/json';
import { MIN_EVENT_TIME } from '#kernel/time';
import { combineIdentityOf } from '../combine_identity.ts';
import { declarationsOf } from '../declarations.ts';
import type { CombineFn, DoFn, KeyLayout, StateSpec, ValueSchema } from '../dofn.ts';
import type { PlanTransform } from '../plan.ts';
import type { SavedTask } from '../splitting/splittable.ts';
import type { WindowingStrategy } from '../windowing/windowing_strategy.ts';

/** One thing that an operator keeps: a cell, a timer family, accumulators. */
export interface StatePart {
  readonly id: string;
  /** Such as `value state` or `event timer`. */
  readonly kind: string;
  /** What fills it, where that can change under one id. */
  readonly identity?: string;
  /** What the parts of its values mean; see {@link ValueSchema}. */
  readonly layout?: unknown;
}

/** What an operator's saved state means (docs/adr/0017): saved once with it, compared when it is restored. */
export interface OperatorSchema {
  /** What kind of operator it is, and whatever of it must not change. */
  readonly operator: string;
  /** In the order in which entries hold them. */
  readonly parts: readonly StatePart[];
  /** Source of a function without state: a change is logged. */
  readonly source?: string;
  /** See {@link KeyLayout}. */
  readonly keys?: string;
}

/** Something about state that a restore has changed, for the log and the metric. */
export interface StateChange {
  readonly transform: string;
  readonly change: 'dropped' | 'started_empty' | 'adapted' | 'function_changed';
  readonly detail: string;
}

/** Where the cells of an operator are found in a saved entry. */
export interface CellMapping {
  /** By cell: its place when it was saved, undefined when it was missing. */
  readonly cells: readonly { readonly from: number | undefined; readonly convert?: (saved: unknown) => unknown }[];
  /** Timer families that still exist, with `event` or `processing`. */
  readonly timers: ReadonlySet<string>;
  /** Returns a saved key as it is now, or undefined to drop what is under it; absent where keys stay. */
  readonly keyOf?: ((saved: unknown) => unknown) | undefined;
}

/** How an operator's saved state fits the operator as it is now. */
export interface Fit {
  /** Why it does not; empty when it does. */
  readonly problems: readonly string[];
  readonly changes: readonly StateChange[];
  readonly mapping: CellMapping | undefined;
  /** What was saved is given up: it starts empty. */
  readonly isDiscarded: boolean;
}

const timerName = (domain: string, id: string): string => `${domain} timer ${id}`;

/** Returns what a transform keeps, as it is defined now. */
export function schemaOf(transform: PlanTransform): OperatorSchema {
  switch (transform.kind) {
    case 'groupByKey':
      return groupSchema(transform.windowing, transform.combineFn);
    case 'slidingCombine':
      return {
        operator: `combine in sliding(${transform.sizeMs},${transform.periodMs}) tiles`,
        parts: [accumulators(transform.combineFn)],
      };
    case 'parDo':
      return doFnSchema(transform.doFn);
    default:
      return { operator: transform.kind, parts: [] };
  }
}

function groupSchema(
  windowing: WindowingStrategy,
  combineFn: CombineFn<never, unknown, unknown> | undefined,
): OperatorSchema {
  const { windowFn, trigger, accumulating } = windowing;
  return {
    operator: `${combineFn === undefined ? 'group' : 'combine'} by key in ${windowFn.name} windows, trigger ${canonicalJson(trigger)}, ${accumulating ? 'accumulating' : 'discarding'} panes`,
    parts: combineFn === undefined ? [] : [accumulators(combineFn)],
  };
}

const accumulators = (combineFn: CombineFn<never, unknown, unknown>): StatePart => ({
  id: 'accumulators',
  kind: 'accumulators',
  identity: combineIdentityOf(combineFn),
  ...(combineFn.whenChanged === undefined ? {} : { layout: combineFn.whenChanged }),
});

function doFnSchema(doFn: DoFn<never, unknown>): OperatorSchema {
  const { states, timers } = declarationsOf(doFn);
  const cells = states.map(
    ({ id, kind, combineFn, schema }): StatePart => ({
      id,
      kind: `${kind} state`,
      ...(combineFn === undefined ? {} : { identity: combineIdentityOf(combineFn) }),
      ...(schema === undefined ? {} : { layout: schema.layout }),
    }),
  );
  const families = timers.map(({ id, domain }): StatePart => ({ id, kind: `${domain} timer` }));
  const parts = [...cells, ...families];
  if (parts.length > 0)
    return { operator: 'parDo', parts, ...(doFn.keyLayout === undefined ? {} : { keys: doFn.keyLayout.layout }) };
  return { operator: 'parDo', parts, source: functionIdentityOf(doFn.process as never).hash };
}

/** How long a trigger waits is no part of what it has kept: the pane under way is due by the new delay at the latest. */
const withoutDelays = (operator: string): string => operator.replaceAll(/"delayMs":[\d.e+]+,?/g, '');

/** Compares what was saved with what is there now. `transform` is for messages. */
export function fitOf(transform: PlanTransform, saved: OperatorSchema, current: OperatorSchema): Fit {
  const { name } = transform;
  if (withoutDelays(saved.operator) !== withoutDelays(current.operator)) {
    const difference = `was saved as ${saved.operator} and is now ${current.operator}`;
    return startsAnew(current)
      ? restarted(name, `it ${difference}: windows under way start empty`)
      : refused(`"${name}" ${difference}`);
  }
  const changes: StateChange[] = [];
  if (saved.source !== undefined && current.source !== undefined && saved.source !== current.source) {
    changes.push({
      transform: name,
      change: 'function_changed',
      detail: 'its function is another one than when the snapshot was taken',
    });
  }
  if (transform.kind === 'parDo') {
    const fit = fitCells(name, declarationsOf(transform.doFn).states, saved, current, changes);
    return saved.keys === current.keys ? fit : fitKeys(name, transform.doFn.keyLayout, saved.keys, fit);
  }
  for (const part of current.parts) {
    const before = saved.parts.find(({ id }) => id === part.id);
    if (before === undefined || before.identity === part.identity) continue;
    if (part.layout === 'restart') {
      const difference = `${part.id} were of ${before.identity} and are of ${part.identity}`;
      return restarted(name, `${difference}: windows under way start empty`);
    }
    return refused(`"${name}" holds ${part.id} of ${before.identity} and is now ${part.identity}`);
  }
  return { problems: [], changes, mapping: undefined, isDiscarded: false };
}

/** Whether a combine's windows may start empty when it changes (`whenChanged`). */
const startsAnew = ({ parts }: OperatorSchema): boolean => parts.some(({ layout }) => layout === 'restart');

const restarted = (transform: string, detail: string): Fit => ({
  problems: [],
  changes: [{ transform, change: 'started_empty', detail }],
  mapping: undefined,
  isDiscarded: true,
});

function fitKeys(transform: string, layout: KeyLayout | undefined, saved: string | undefined, fit: Fit): Fit {
  const was = `"${transform}" was saved with keys of layout ${saved ?? '0'}`;
  if (layout === undefined) return refused(`${was}, and its keys have none now`);
  if (fit.mapping === undefined) return fit;
  const detail = `its keys were of layout ${saved ?? '0'} and are of ${layout.layout}`;
  return {
    ...fit,
    changes: [...fit.changes, { transform, change: 'adapted', detail }],
    mapping: { ...fit.mapping, keyOf: (key) => layout.adapt(key, saved) },
  };
}

const listOf = (parts: readonly StatePart[]): string => parts.map(({ id, kind }) => `${kind} ${id}`).join(', ');

const refused = (problem: string): Fit => ({
  problems: [problem],
  changes: [],
  mapping: undefined,
  isDiscarded: false,
});

function fitCells(
  transform: string,
  states: readonly StateSpec<unknown>[],
  saved: OperatorSchema,
  current: OperatorSchema,
  changes: StateChange[],
): Fit {
  const survives = saved.parts.some(({ id }) => current.parts.some((part) => part.id === id));
  if (saved.parts.length > 0 && !survives) {
    return refused(`"${transform}" was saved with ${listOf(saved.parts)} and has none of it now`);
  }
  const problems: string[] = [];
  const note = (change: StateChange['change'], detail: string): number => changes.push({ transform, change, detail });
  const isTimer = ({ kind }: StatePart): boolean => kind.endsWith('timer');
  const savedCells = saved.parts.filter((part) => !isTimer(part));
  const cells = states.map((state, at) => {
    const part = current.parts[at] as StatePart;
    const from = savedCells.findIndex(({ id }) => id === part.id);
    const before = savedCells[from];
    if (before === undefined) {
      if (saved.parts.length > 0) note('started_empty', `${part.kind} "${part.id}" is new`);
      return { from: undefined };
    }
    if (before.kind !== part.kind)
      problems.push(`"${transform}" holds a ${before.kind} "${part.id}", which is now a ${part.kind}`);
    if (before.identity !== part.identity) {
      problems.push(
        `"${transform}" holds state "${part.id}" of CombineFn ${before.identity}, which is now ${part.identity}`,
      );
    }
    const adapted = adapt(transform, part.id, before, state.schema);
    if (typeof adapted === 'string') problems.push(adapted);
    else if (adapted !== undefined) {
      for (const detail of adapted.changes) note('adapted', detail);
      return { from, convert: adapted.convert };
    }
    return { from };
  });
  const timers = new Set(current.parts.filter(isTimer).map(({ id, kind }) => `${kind} ${id}`));
  for (const { id, kind } of saved.parts) {
    if (current.parts.some((part) => part.id === id && part.kind === kind)) continue;
    if (current.parts.some((part) => part.id === id)) {
      if (kind.endsWith('timer')) problems.push(`"${transform}" holds a ${kind} "${id}", which is now of another kind`);
    } else note('dropped', `${kind} "${id}" is not declared any more`);
  }
  return { problems, changes, mapping: { cells, timers }, isDiscarded: false };
}

/** Undefined where the layout is the same; a problem where it cannot be read. */
function adapt(transform: string, id: string, saved: StatePart, schema: ValueSchema<unknown> | undefined) {
  if (schema === undefined && saved.layout === undefined) return undefined;
  if (canonicalJson(saved.layout ?? null) === canonicalJson(schema?.layout ?? null)) return undefined;
  if (schema === undefined) return `"${transform}" holds state "${id}" with a layout, and now declares none`;
  const adapted = schema.adapt(saved.layout);
  return 'refused' in adapted ? `"${transform}", state "${id}": ${adapted.refused}` : adapted;
}

/** How a source's saved work fits its settings of now. */
export interface SourceFit {
  readonly problems: readonly string[];
  readonly changes: readonly StateChange[];
  readonly tasks: readonly SavedTask[];
}

/** Asks a source what it makes of the work that was saved of it. */
export function fitSource(
  { name, doFn }: Extract<PlanTransform, { kind: 'splittable' }>,
  saved: readonly SavedTask[],
): SourceFit {
  const adapted = doFn.adaptRestrictions?.(saved.map(({ restriction }) => restriction));
  if (adapted === undefined) return { problems: [], changes: [], tasks: saved };
  if ('refused' in adapted) return { problems: [`"${name}": ${adapted.refused}`], changes: [], tasks: [] };
  const { restrictions, added = [], changes } = adapted;
  const tasks = saved.flatMap((task, at): SavedTask[] =>
    restrictions[at] === undefined ? [] : [{ ...task, restriction: restrictions[at] }],
  );
  const [first] = saved;
  const more = added.map((restriction): SavedTask => {
    return { element: first?.element, restriction, watermark: MIN_EVENT_TIME, idle: false };
  });
  return {
    problems: [],
    changes: changes.map((detail) => ({ transform: name, change: 'adapted', detail })),
    tasks: [...tasks, ...more],
  };
}

/** Whether a saved timer's family is declared still. */
export const keepsTimer = ({ timers }: CellMapping, domain: 'event' | 'processing', id: string): boolean =>
  id.startsWith('\u0000') || timers.has(timerName(domain, id));
