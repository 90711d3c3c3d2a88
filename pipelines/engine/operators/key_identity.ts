import { keyIdOf } from '#kernel/keys/key_codec';
import { TransformFailedError } from '../errors.ts';

/** Returns what identifies an element's key in a Map. @throws {@link TransformFailedError} naming the transform, where the key has no canonical form */
export function keyIdIn(transform: string, key: unknown): unknown {
  try {
    return keyIdOf(key);
  } catch (error) {
    throw new TransformFailedError(transform, 'its key', key, error);
  }
}
