import type { EventTime } from '#kernel/time';
import type { BoundedWindow, DoFn, FinishBundleContext, ProcessContext } from '#pipelines/engine/dofn';
import type { PCollection, PTransform } from '#pipelines/model/pcollection';
import { parDo } from '#pipelines/model/transforms';
import type { ColumnProblem } from '#registry/packages/signature_encoder';
import { interpret, type Predicted } from '../models/interpret.ts';
import type { LoadedModel } from '../models/loaded_model.ts';

export type InferenceRow = Readonly<Record<string, unknown>>;

/** An element with what the model says of it, or why it cannot take it. */
export type Inference<T> =
  | ({ readonly element: T; readonly modelVersion: number } & Predicted)
  | { readonly element: T; readonly problems: readonly ColumnProblem[] };

export interface RunInferenceSettings<T> {
  /** Called once by each thread or worker. */
  readonly load: () => Promise<{ readonly model: LoadedModel; readonly version: number }>;
  readonly featuresOf: (element: T) => InferenceRow;
  /** Elements that go through the model at once, at most; those of a bundle. */
  readonly maxBatch?: number;
}

const DEFAULT_BATCH = 256;

/** Beam's RunInference with an ONNX model: elements of a bundle go through it together, and keep their times and windows. */
export function runInference<T>(
  settings: RunInferenceSettings<T>,
  name = 'RunInference',
): PTransform<PCollection<T>, PCollection<Inference<T>>> {
  return parDo(new RunInference(settings), { name });
}

interface Waiting<T> {
  readonly element: T;
  readonly timestamp: EventTime;
  readonly window: BoundedWindow;
}

type Emit<T> = (inference: Inference<T>, of: Waiting<T>) => void;

class RunInference<T> implements DoFn<T, Inference<T>> {
  readonly #settings: RunInferenceSettings<T>;
  readonly #maxBatch: number;
  #loaded: ReturnType<RunInferenceSettings<T>['load']> | undefined;
  #waiting: Waiting<T>[] = [];

  constructor(settings: RunInferenceSettings<T>) {
    this.#settings = settings;
    this.#maxBatch = settings.maxBatch ?? DEFAULT_BATCH;
  }

  startBundle(): void {
    this.#waiting = [];
  }

  process(element: T, context: ProcessContext<Inference<T>>): void {
    this.#waiting.push({ element, timestamp: context.timestamp, window: context.window });
  }

  async finishBundle(context: FinishBundleContext<Inference<T>>): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let from = 0; from < waiting.length; from += this.#maxBatch) {
      await this.#run(waiting.slice(from, from + this.#maxBatch), (inference, { timestamp, window }) =>
        context.outputInWindow(inference, timestamp, window),
      );
    }
  }

  async #run(batch: readonly Waiting<T>[], emit: Emit<T>): Promise<void> {
    this.#loaded ??= this.#settings.load();
    const { model, version } = await this.#loaded;
    const { encoder, outputWidth } = model;
    const input = encoder.allocate(batch.length);
    const good: Waiting<T>[] = [];
    for (const each of batch) {
      const problems = encoder.encode(this.#settings.featuresOf(each.element), input, good.length * encoder.width);
      if (problems === undefined) good.push(each);
      else emit({ element: each.element, problems }, each);
    }
    if (good.length === 0) return;
    const output = await model.run(input.subarray(0, good.length * encoder.width), good.length);
    for (const [index, each] of good.entries()) {
      const predicted = interpret(model, output, index * outputWidth);
      emit({ element: each.element, modelVersion: version, ...predicted }, each);
    }
  }

  async teardown(): Promise<void> {
    await (await this.#loaded)?.model.release();
  }
}
