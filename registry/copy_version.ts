import { ATTACHMENTS } from './model_folder.ts';
import type { ModelRegistry, ModelVersion, NewModelVersion } from './model_registry.ts';
import { carriedTags } from './model_tags.ts';

/** A version, whole, to be registered elsewhere; it says where it comes from. */
export async function copyOf(registry: ModelRegistry, version: ModelVersion): Promise<NewModelVersion> {
  const { name, metrics, description, tags } = version;
  const attachments = new Map<string, Uint8Array>();
  for (const file of ATTACHMENTS) {
    const content = await registry.attachment(version, file);
    if (content !== undefined) attachments.set(file, content);
  }
  // Of tags only what is of the model: the others tell what was done to it there.
  const params = Object.fromEntries(Object.entries(tags).filter(([tag]) => !tag.startsWith('headwater.')));
  return {
    ...{ name, metrics, description, attachments },
    params: { ...params, copied_from: `${registry.kind} ${name} ${version.version}` },
    tags: carriedTags(tags),
    package: await registry.download(version),
  };
}
