import { eventTime } from '#kernel/time';
import {
  type BoundedWindow,
  type DoFn,
  type FinishBundleContext,
  type PaneInfo,
  type ProcessContext,
  SideInputView,
} from '#pipelines/engine/dofn';
import { InvalidPipelineError } from '#pipelines/engine/errors';
import { Counter, Distribution } from '#pipelines/engine/metrics';

/** What apache-beam's `map`, `flatMap` and `parDo` keep: a generator-style DoFn and its context. */
export interface BeamDoFnInfo {
  readonly doFn: {
    process(element: unknown, context: unknown): Iterable<unknown> | undefined;
    startBundle?(context: unknown): void;
    finishBundle?(context: unknown): Iterable<unknown> | undefined;
  };
  readonly context: unknown;
}

/** What `finishBundle` puts out. */
interface FinishedValue {
  readonly value: unknown;
  readonly timestamp: { toNumber(): number };
  readonly windows: readonly unknown[];
}

interface BeamParam {
  readonly parDoParamName: string;
  provider?: object;
}

interface BeamSideInput extends BeamParam {
  readonly sideInputId: string;
  readonly accessor: { toValue(values: Iterable<unknown>): unknown };
}

interface BeamMetric extends BeamParam {
  readonly metricType: string;
  readonly name: string;
}

const METRICS = {
  'beam:metric:user:sum_int64:v1': Counter,
  'beam:metric:user:distribution_int64:v1': Distribution,
} as const;

const isParam = (value: unknown): value is BeamParam =>
  typeof value === 'object' && value !== null && 'parDoParamName' in value;

/** Turns times and windows into the SDK's own values and back. */
export interface BeamValues {
  instant(ms: number): unknown;
  window(window: BoundedWindow): unknown;
  pane(pane: PaneInfo): unknown;
  /** Returns a window of ours for one of the SDK's. */
  ownWindow(window: unknown): BoundedWindow;
}

/** A DoFn of ours, and the side inputs that it reads, by the name they have in the graph. */
export interface AdaptedDoFn {
  readonly doFn: DoFn<unknown, unknown>;
  readonly sideInputs: Readonly<Record<string, SideInputView<unknown>>>;
}

/**
 * Runs a DoFn that is written for apache-beam's interface: `process` yields outputs, and context parameters are looked up.
 *
 * @param name of the transform, for errors
 * @param collections of the side inputs, by their name in the graph
 */
export function adaptBeamDoFn(
  name: string,
  { doFn, context }: BeamDoFnInfo,
  collections: ReadonlyMap<string, unknown>,
  values: BeamValues,
): AdaptedDoFn {
  const sideInputs: Record<string, SideInputView<unknown>> = {};
  for (const [id, collection] of collections) sideInputs[id] = new SideInputView('iterable', collection);
  const metrics = new Map<string, Counter | Distribution>();
  let current: ProcessContext<unknown> | undefined;
  const provider = {
    lookup(param: BeamParam): unknown {
      if (current === undefined) throw new InvalidPipelineError(`"${name}": ${param.parDoParamName} outside process`);
      if (param.parDoParamName === 'window') return values.window(current.window);
      if (param.parDoParamName === 'timestamp') return values.instant(current.timestamp);
      if (param.parDoParamName === 'paneinfo') return values.pane(current.pane);
      if (param.parDoParamName === 'sideInput') {
        const { accessor, sideInputId } = param as BeamSideInput;
        return accessor.toValue(current.sideInput(sideInputs[sideInputId] as SideInputView<Iterable<unknown>>));
      }
      throw new InvalidPipelineError(
        `"${name}": parameter ${param.parDoParamName} is not supported: use a headwater DoFn, whose context has it`,
      );
    },
    update(param: BeamMetric, value: number): void {
      const metric = metrics.get(param.name);
      if (metric instanceof Counter) metric.inc(value);
      else metric?.update(value);
    },
  };
  const bind = (param: BeamParam): BeamParam => {
    if (param.parDoParamName === 'metric') {
      const { metricType, name: metric } = param as BeamMetric;
      const Metric = METRICS[metricType as keyof typeof METRICS];
      if (Metric === undefined)
        throw new InvalidPipelineError(`"${name}": metrics of type ${metricType} are not known`);
      metrics.set(metric, new Metric(metric));
    }
    return Object.assign(Object.create(param) as BeamParam, { provider });
  };
  const bound =
    typeof context === 'object' && context !== null
      ? Object.fromEntries(Object.entries(context).map(([key, value]) => [key, isParam(value) ? bind(value) : value]))
      : context;
  const adapted: DoFn<unknown, unknown> = {
    startBundle: () => doFn.startBundle?.(bound),
    process(element, into) {
      current = into;
      for (const output of doFn.process(element, bound) ?? []) into.output(output);
    },
    finishBundle(into: FinishBundleContext<unknown>) {
      for (const output of doFn.finishBundle?.(bound) ?? []) {
        const { value, timestamp, windows } = output as FinishedValue;
        for (const window of windows) {
          into.outputInWindow(value, eventTime(timestamp.toNumber()), values.ownWindow(window));
        }
      }
    },
  };
  // Fields of a DoFn that are metrics are counted by the runner.
  const fields = Object.fromEntries([...metrics].map(([metric, kept]) => [`metric ${metric}`, kept]));
  return { doFn: Object.assign(adapted, fields), sideInputs };
}
