import type { DoFn, ProcessContext } from '#pipelines/engine/dofn';
import { InvalidPipelineError } from '#pipelines/engine/errors';

/** What apache-beam's own `map`, `flatMap` and `parDo` keep: a generator-style DoFn and its context. */
export interface SerializedBeamDoFn {
  readonly doFn: {
    process(element: unknown, context: unknown): Iterable<unknown> | undefined;
    startBundle?(context: unknown): void;
    finishBundle?(context: unknown): Iterable<unknown> | undefined;
  };
  readonly context: unknown;
}

interface BeamParam {
  readonly parDoParamName: string;
  provider?: object;
}

const isParam = (value: unknown): value is BeamParam =>
  typeof value === 'object' && value !== null && 'parDoParamName' in value;

/** Runs a DoFn written for apache-beam's own interface, so that existing Beam TypeScript code runs unchanged. */
export function adaptBeamDoFn(name: string, { doFn, context }: SerializedBeamDoFn): DoFn<never, unknown> {
  let current: ProcessContext<unknown> | undefined;
  const provider = {
    lookup(param: BeamParam): unknown {
      if (current === undefined) throw new InvalidPipelineError(`"${name}": ${param.parDoParamName} outside process`);
      if (param.parDoParamName === 'window') return current.window;
      if (param.parDoParamName === 'timestamp') return current.timestamp;
      if (param.parDoParamName === 'paneinfo') return current.pane;
      throw new InvalidPipelineError(`"${name}": parameter ${param.parDoParamName} is not supported yet`);
    },
    update(): void {},
  };
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
  return {
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
}
