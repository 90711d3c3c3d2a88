import { type Environment, environment } from '#configs/environment';
import type { FileSystem } from './file_system.ts';
import { LocalFiles } from './local_files.ts';
import { s3ConfigSchema } from './s3/s3_config.ts';
import { S3WhenUsed } from './s3/s3_when_used.ts';

/** The file system that a path belongs to. */
export type FileSystemOf = (path: string) => FileSystem;

/**
 * Returns what opens a path: `s3://bucket/key` is in S3, with what the environment says of it (AWS_REGION, AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID
 * and the rest of the SDK's chain); anything else is a path on this machine.
 */
export function createFileSystems(env: Environment = environment()): FileSystemOf {
  const local = new LocalFiles();
  let s3: S3WhenUsed | undefined;
  return (path) => {
    if (!path.startsWith('s3://')) return local;
    s3 ??= new S3WhenUsed(
      s3ConfigSchema.parse({
        region: env.AWS_REGION ?? env.AWS_DEFAULT_REGION,
        endpoint: env.AWS_ENDPOINT_URL_S3 ?? env.AWS_ENDPOINT_URL,
      }),
    );
    return s3;
  };
}
