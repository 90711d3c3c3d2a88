import type { SideInputView } from '#pipelines/engine/dofn';
import { InvalidPipelineError } from '#pipelines/engine/errors';
import type { PCollection, PTransform } from '#pipelines/model/pcollection';
import { asIterable } from '#pipelines/model/side_inputs';
import { filter, named, parDo } from '#pipelines/model/transforms';

/**
 * Passes elements on once the signals are complete for their window: what a write before has to have done (Beam's Wait.on). The elements hold the watermark meanwhile.
 *
 * @throws InvalidPipelineError for a signal that is never complete, or in merging windows
 */
export function waitOn<T>(
  signals: readonly PCollection<unknown>[],
  name = 'WaitOn',
): PTransform<PCollection<T>, PCollection<T>> {
  if (signals.length === 0) throw new InvalidPipelineError(`transform "${name}" waits for nothing: give it a signal`);
  return named(name, (input: PCollection<T>) => {
    const sideInputs: Record<string, SideInputView<unknown>> = {};
    for (const [index, signal] of signals.entries()) {
      // Its elements do not matter, nor when they fire: only the end of its windows does.
      sideInputs[`signal ${index}`] = asIterable(signal.apply(filter(() => false, `Signal ${index}`)));
    }
    return input.apply(
      parDo<T, T>({ process: (value, context) => context.output(value) }, { name: 'Wait', sideInputs }),
    );
  });
}
