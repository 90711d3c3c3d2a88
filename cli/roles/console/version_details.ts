import { UnknownModelError } from '#registry/errors';
import type { ModelRegistry } from '#registry/model_registry';
import type { VersionDetails } from '#serving/console/answers';

/** Returns a version with what its signature says. */
export async function versionDetails(
  registry: Pick<ModelRegistry, 'listModels' | 'listVersions' | 'download'>,
  { model, version: wanted }: { readonly model: string; readonly version: number },
  known: { readonly predictions: number; readonly isView: (id: string) => boolean },
): Promise<VersionDetails> {
  const version = (await registry.listVersions(model)).find((each) => each.version === wanted);
  if (version === undefined) throw new UnknownModelError(`${model} ${wanted}`, await registry.listModels());
  const { signature } = await registry.download(version);
  return {
    ...{
      version,
      predictions: known.predictions,
      task: signature.task,
      classes: signature.classes,
      threshold: signature.threshold,
    },
    service: signature.featureService?.service,
    isView: known.isView(signature.featureService?.service ?? ''),
    inputs: signature.inputs.map(({ name, type, required }) => ({ name, type, required })),
  };
}
