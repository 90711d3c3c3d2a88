import { messageOf } from '#kernel/errors';
import { type DoFn, type OutputContext, outputTag, type ProcessContext } from '#pipelines/engine/dofn';
import type { PCollection, PTransform } from '#pipelines/model/pcollection';
import { parDoTagged } from '#pipelines/model/transforms';

/** An element that could not be processed, and why. */
export interface FailedElement<T> {
  readonly element: T;
  readonly error: string;
  readonly attempts: number;
}

export interface ErrorHandlingSettings {
  readonly name: string;
  /** Calls before an element is given up. Default 1: no retry. */
  readonly attempts?: number;
  /** Wait before the second call, doubled for each further one. Default 100. */
  readonly firstDelayMs?: number;
}

/**
 * Runs a stateless DoFn whose failures are elements of their own: what still throws after the last attempt comes out in
 * `failed`, whole, and the job continues. What a failed attempt had output is dropped.
 */
export function parDoWithDeadLetters<In, Out>(
  doFn: DoFn<In, Out>,
  { name, attempts = 1, firstDelayMs = 100 }: ErrorHandlingSettings,
): PTransform<PCollection<In>, { readonly main: PCollection<Out>; readonly failed: PCollection<FailedElement<In>> }> {
  const failed = outputTag<FailedElement<In>>('failed');
  const guarded = new GuardedDoFn<In, Out>(doFn, failed, attempts, firstDelayMs);
  return parDoTagged<In, Out, { readonly failed: typeof failed }>(guarded, { failed }, { name });
}

class GuardedDoFn<In, Out> implements DoFn<In, Out> {
  readonly #doFn: DoFn<In, Out>;
  readonly #failed: ReturnType<typeof outputTag<FailedElement<In>>>;
  readonly #attempts: number;
  readonly #firstDelayMs: number;

  constructor(
    doFn: DoFn<In, Out>,
    failed: ReturnType<typeof outputTag<FailedElement<In>>>,
    attempts: number,
    firstDelayMs: number,
  ) {
    this.#doFn = doFn;
    this.#failed = failed;
    this.#attempts = attempts;
    this.#firstDelayMs = firstDelayMs;
  }

  setup(): void | Promise<void> {
    return this.#doFn.setup?.();
  }

  startBundle(context: OutputContext<Out>): void | Promise<void> {
    return this.#doFn.startBundle?.(context);
  }

  process(element: In, context: ProcessContext<Out>): void | Promise<void> {
    return this.#attempt(element, context, 1);
  }

  #attempt(element: In, context: ProcessContext<Out>, attempt: number): void | Promise<void> {
    const held = new HeldOutputs(context);
    try {
      const running = this.#doFn.process(element, held.context);
      if (running === undefined) {
        held.release();
        return undefined;
      }
      return running.then(
        () => held.release(),
        (error: unknown) => this.#failedOnce(element, context, attempt, error),
      );
    } catch (error) {
      return this.#failedOnce(element, context, attempt, error);
    }
  }

  #failedOnce(element: In, context: ProcessContext<Out>, attempt: number, error: unknown): void | Promise<void> {
    if (attempt >= this.#attempts) {
      context.outputTo(this.#failed, { element, error: messageOf(error), attempts: attempt });
      return undefined;
    }
    const delayMs = this.#firstDelayMs * 2 ** (attempt - 1);
    return new Promise((resolve) => setTimeout(resolve, delayMs)).then(() =>
      this.#attempt(element, context, attempt + 1),
    );
  }

  teardown(): void | Promise<void> {
    return this.#doFn.teardown?.();
  }
}

/** Keeps outputs back until it is known that the call succeeded. */
class HeldOutputs<Out> {
  readonly context: ProcessContext<Out>;
  readonly #outputs: (() => void)[] = [];

  constructor(context: ProcessContext<Out>) {
    const outputs = this.#outputs;
    // Everything but the outputs is the real context's, looked up at each access.
    this.context = new Proxy(context, {
      get(target, property) {
        if (property === 'output')
          return (...args: Parameters<typeof target.output>) => outputs.push(() => target.output(...args));
        if (property === 'outputTo') {
          return (...args: Parameters<typeof target.outputTo>) => outputs.push(() => target.outputTo(...args));
        }
        const value: unknown = Reflect.get(target, property, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  release(): void {
    for (const output of this.#outputs) output();
  }
}
