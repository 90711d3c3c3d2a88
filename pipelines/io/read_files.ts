import type { PCollection, PipelineRoot, PTransform } from '#pipelines/model/pcollection';
import { read } from '#pipelines/model/transforms';
import { FileSource, type FileSourceSettings } from './file_source.ts';

/** Which files are read, and their format. */
export interface ReadFilesSettings<T> extends FileSourceSettings<T> {
  readonly name?: string;
}

/** Reads the rows of files, of this machine or S3, and with `watchEveryMs` those of files that appear later, each once. */
export const readFiles = <T>({
  name = 'ReadFiles',
  ...settings
}: ReadFilesSettings<T>): PTransform<PipelineRoot, PCollection<T>> => read('files', new FileSource(settings), name);
