import { type DoFn, type ProcessContext, SideInputView } from '#pipelines/engine/dofn';
import { InvalidPipelineError } from '#pipelines/engine/errors';
import type { RegisteredDoFn } from './transforms.ts';

/** What apache-beam's own `map`, `flatMap` and `parDo` keep: a generator-style DoFn and its context. */
export interface SerializedBeamDoFn {
  readonly doFn: {
    process(element: unknown, context: unknown): Iterable<unknown> | undefined;
    startBundle?(context: unknown): void;
    finishBundle?(context: unknown): Iterable<unknown> | undefined;
  };
  readonly context: unknown;
}

interface BeamSideInput extends BeamParam {
  readonly pcoll: unknown;
  readonly sideInputId: string;
  readonly accessor: { toValue(values: Iterable<unknown>): unknown };
}

interface BeamParam {
  readonly parDoParamName: string;
  provider?: object;
}

const isParam = (value: unknown): value is BeamParam =>
  typeof value === 'object' && value !== null && 'parDoParamName' in value;

/** Runs a DoFn written for apache-beam's own interface, so that existing Beam TypeScript code runs unchanged. */
export function adaptBeamDoFn(name: string, { doFn, context }: SerializedBeamDoFn): RegisteredDoFn {
  const views = new Map<string, SideInputView<unknown>>();
  let current: ProcessContext<unknown> | undefined;
  const provider = {
    lookup(param: BeamParam): unknown {
      if (current === undefined) throw new InvalidPipelineError(`"${name}": ${param.parDoParamName} outside process`);
      if (param.parDoParamName === 'window') return current.window;
      if (param.parDoParamName === 'timestamp') return current.timestamp;
      if (param.parDoParamName === 'paneinfo') return current.pane;
      if (param.parDoParamName === 'sideInput') {
        const { accessor, sideInputId } = param as BeamSideInput;
        return accessor.toValue(current.sideInput(views.get(sideInputId) as SideInputView<Iterable<unknown>>));
      }
      throw new InvalidPipelineError(
        `"${name}": parameter ${param.parDoParamName} is not supported: use a headwater DoFn, whose context has it`,
      );
    },
    update(): void {},
  };
  for (const [key, value] of Object.entries(context ?? {})) {
    if (isParam(value) && value.parDoParamName === 'sideInput') {
      const id = (value as BeamSideInput).sideInputId ?? `side.${key}`;
      views.set(id, new SideInputView('iterable', (value as BeamSideInput).pcoll));
    }
  }
  const bound =
    typeof context === 'object' && context !== null
      ? Object.fromEntries(
          Object.entries(context).map(([key, value]) => [
            key,
            isParam(value) ? Object.assign(Object.create(value) as BeamParam, { provider }) : value,
          ]),
        )
      : context;
  const emit = (outputs: Iterable<unknown> | undefined, into: ProcessContext<unknown>): void => {
    if (outputs !== undefined) for (const output of outputs) into.output(output);
  };
  const adapted = {
    startBundle: () => doFn.startBundle?.(bound),
    process(element: unknown, into: ProcessContext<unknown>) {
      current = into;
      emit(doFn.process(element, bound), into);
    },
    finishBundle(into) {
      for (const output of doFn.finishBundle?.(bound) ?? []) {
        const { value, timestamp } = output as { value: unknown; timestamp?: { toNumber(): number } };
        into.output(value, timestamp?.toNumber() as never);
      }
    },
  } as DoFn<never, unknown>;
  return { doFn: adapted, views };
}
