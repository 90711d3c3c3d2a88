import { InvalidModelError } from '../errors.ts';
import { checkInnerPath } from '../folder_files.ts';
import { MlflowApiError, type MlflowClient } from './client.ts';

/** Files by URI, for servers that do not hand out artifacts themselves: `s3://bucket/…`. */
export interface ArtifactFiles {
  /** @returns undefined when there is none */
  read(uri: string): Promise<Uint8Array | undefined>;
  write(uri: string, content: Uint8Array): Promise<void>;
}

const S3 = /^s3:\/\/[^/]+\/[^*?[\]{}!]+$/;
const isPlain = (uri: string): boolean => !uri.split('/').includes('..');
const PROXIED = /^mlflow-artifacts:\/(\/[^/]*)?\/?/;

/** Artifacts below a URI as MLflow gives it: through the server where it serves them, otherwise from where they lie. */
export class Artifacts {
  readonly #client: MlflowClient;
  readonly #files: ArtifactFiles | undefined;

  constructor(client: MlflowClient, files: ArtifactFiles | undefined) {
    this.#client = client;
    this.#files = files;
  }

  /** @returns undefined when there is none. @throws {@link InvalidModelError} when nothing here reads such a URI */
  async read(root: string, name: string): Promise<Uint8Array | undefined> {
    checkInnerPath(name, 'an artifact');
    if (!PROXIED.test(root)) return this.#filesFor(root).read(`${root}/${name}`);
    const folder = root.replace(PROXIED, '');
    try {
      return await this.#client.getArtifact(`${folder}/${name}`);
    } catch (error) {
      if (!(error instanceof MlflowApiError)) throw error;
      if (error.status === 404) return undefined;
      // MLflow 2 reports a missing artifact as a failure.
      if (error.status === 500 && !(await this.#client.listArtifacts(folder)).includes(name)) return undefined;
      throw error;
    }
  }

  async write(root: string, name: string, content: Uint8Array | string): Promise<void> {
    checkInnerPath(name, 'an artifact');
    if (PROXIED.test(root)) return this.#client.putArtifact(`${root.replace(PROXIED, '')}/${name}`, content);
    return this.#filesFor(root).write(`${root}/${name}`, Buffer.from(content));
  }

  #filesFor(root: string): ArtifactFiles {
    if (this.#files !== undefined && S3.test(root) && isPlain(root)) return this.#files;
    throw new InvalidModelError([
      `its artifacts lie at ${root}: what MLflow serves itself (mlflow-artifacts:/) and s3:// can be read, no files of this machine`,
    ]);
  }
}
