import fc from 'fast-check';

/** A graph as data: a chain of stages over a scripted stream of keyed numbers. */
export interface GraphSpec {
  readonly windows: WindowsSpec;
  readonly trigger: TriggerSpec;
  readonly accumulating: boolean;
  readonly latenessMs: number;
  /** The timestamp of a pane. */
  readonly combiner: 'endOfWindow' | 'earliest';
  readonly stages: readonly StageSpec[];
  readonly steps: readonly StepSpec[];
  /** Elements are encoded between transforms. */
  readonly strict: boolean;
  /** Calls of the first stage after which a call fails once, and the job restarts from its newest snapshot. */
  readonly crashesAfter: number | undefined;
}

export type WindowsSpec =
  | { readonly kind: 'global' }
  | { readonly kind: 'fixed'; readonly sizeMs: number }
  | { readonly kind: 'sliding'; readonly sizeMs: number; readonly periodMs: number }
  | { readonly kind: 'sessions'; readonly gapMs: number };

export type TriggerSpec =
  | { readonly kind: 'default' }
  | { readonly kind: 'repeatedly'; readonly count: number }
  | { readonly kind: 'afterWatermark'; readonly early: number | undefined; readonly late: number };

export type StageSpec =
  /** Groups, and passes the sum and the number of each pane's values on. */
  | { readonly kind: 'group' }
  /** Passes elements on, after a wait. */
  | { readonly kind: 'wait' }
  /** Counts in state, sets event timers, and puts out what they see. */
  | {
      readonly kind: 'timers';
      /** From the element's time; negative: in the past. */
      readonly offsetMs: number;
      /** A timer that fires at a count that this divides sets itself again. */
      readonly repeatsEvery: number;
      readonly holds: boolean;
      readonly isAsync: boolean;
    };

export type StepSpec =
  | { readonly kind: 'elements'; readonly elements: readonly ElementSpec[] }
  | { readonly kind: 'watermark'; readonly byMs: number };

export interface ElementSpec {
  readonly key: string;
  readonly value: number;
  readonly at: number;
}

const windows: fc.Arbitrary<WindowsSpec> = fc.oneof(
  fc.constant({ kind: 'global' } as const),
  fc.constantFrom(7, 10, 25).map((sizeMs) => ({ kind: 'fixed', sizeMs }) as const),
  fc
    .constantFrom([20, 10], [30, 7], [12, 5])
    .map(([sizeMs = 0, periodMs = 0]) => ({ kind: 'sliding', sizeMs, periodMs }) as const),
  fc.constantFrom(5, 12).map((gapMs) => ({ kind: 'sessions', gapMs }) as const),
);

const trigger: fc.Arbitrary<TriggerSpec> = fc.oneof(
  fc.constant({ kind: 'default' } as const),
  fc.integer({ min: 1, max: 4 }).map((count) => ({ kind: 'repeatedly', count }) as const),
  fc.record({
    kind: fc.constant('afterWatermark' as const),
    early: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
    late: fc.integer({ min: 1, max: 2 }),
  }),
);

const stage: fc.Arbitrary<StageSpec> = fc.oneof(
  fc.constant({ kind: 'group' } as const),
  fc.constant({ kind: 'wait' } as const),
  fc.record({
    kind: fc.constant('timers' as const),
    offsetMs: fc.integer({ min: -15, max: 30 }),
    repeatsEvery: fc.integer({ min: 1, max: 4 }),
    holds: fc.boolean(),
    isAsync: fc.boolean(),
  }),
);

const element: fc.Arbitrary<ElementSpec> = fc.record({
  key: fc.constantFrom('a', 'b', 'c'),
  value: fc.integer({ min: 1, max: 9 }),
  at: fc.integer({ min: 0, max: 100 }),
});

const step: fc.Arbitrary<StepSpec> = fc.oneof(
  fc.record({ kind: fc.constant('elements' as const), elements: fc.array(element, { minLength: 1, maxLength: 4 }) }),
  fc.record({ kind: fc.constant('watermark' as const), byMs: fc.integer({ min: 1, max: 30 }) }),
);

/** Any graph that is not refused. */
export const randomGraph: fc.Arbitrary<GraphSpec> = fc
  .record({
    windows,
    trigger,
    accumulating: fc.boolean(),
    latenessMs: fc.constantFrom(0, 0, 9, 40),
    combiner: fc.constantFrom('endOfWindow' as const, 'earliest' as const),
    stages: fc.array(stage, { minLength: 1, maxLength: 4 }),
    steps: fc.array(step, { maxLength: 30 }),
    strict: fc.boolean(),
    crashesAfter: fc.oneof(
      { weight: 3, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 25 }) },
    ),
  })
  .map(allowed);

/** What Beam refuses becomes its nearest neighbour: state in sessions, the default trigger on the unbounded global window. */
function allowed(spec: GraphSpec): GraphSpec {
  if (spec.windows.kind === 'sessions') {
    const grouped = spec.stages.findIndex(({ kind }) => kind === 'group');
    const stages = spec.stages.filter(({ kind }, index) => kind !== 'timers' || (grouped >= 0 && index > grouped));
    return {
      ...spec,
      stages: stages.length === 0 ? [{ kind: 'group' }] : stages,
      // Late elements of sessions are another kind, with a test of its own.
      latenessMs: 0,
      combiner: 'endOfWindow',
      trigger: spec.trigger.kind === 'afterWatermark' ? { kind: 'default' } : spec.trigger,
    };
  }
  if (spec.windows.kind === 'global' && spec.trigger.kind === 'default') {
    return { ...spec, trigger: { kind: 'repeatedly', count: 2 } };
  }
  return spec;
}
