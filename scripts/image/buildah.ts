import { runCommand } from '#scripts/building/installed_package';

/** What an image says of itself. */
export interface ImageConfig {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly WorkingDir: string;
  readonly StopSignal?: string;
  readonly Volumes: Readonly<Record<string, object>>;
  readonly Healthcheck: { readonly Test: readonly string[] };
}

/** Debian's buildah with a store of its own: it builds images and runs commands in them without a daemon, as root. */
export class Buildah {
  readonly #folder: string;
  readonly #store: readonly string[];
  readonly #made: string[] = [];

  private constructor(folder: string, driver: string) {
    this.#folder = folder;
    this.#store = ['--storage-driver', driver, '--root', `${folder}/store`, '--runroot', `${folder}/run`];
  }

  /** Takes overlay mounts where the folder's file system has them, and copies of all files otherwise. */
  static async in(folder: string): Promise<Buildah> {
    const overlay = new Buildah(folder, 'overlay');
    return overlay.#run('images').then(
      () => overlay,
      () => new Buildah(`${folder}/copies`, 'vfs'),
    );
  }

  /** Makes an image of a folder, which stays as it is. */
  async imageOf(folder: string, name: string): Promise<void> {
    const container = await this.#run('from', 'scratch');
    const root = await this.#run('mount', container);
    await runCommand('cp', ['-a', `${folder}/.`, `${root}/`], { cwd: folder });
    await this.#run('config', '--env', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', container);
    await this.#run('commit', '--quiet', '--rm', container, name);
  }

  /**
   * Builds a Dockerfile.
   *
   * @param mounts - files and folders of this machine, by their path while it is built; no layer has them
   */
  async build(
    name: string,
    context: string,
    args: Readonly<Record<string, string>>,
    mounts: Readonly<Record<string, string>>,
  ): Promise<void> {
    await this.#run(
      ...['bud', '--isolation', 'chroot', '--format', 'docker', '--quiet', '--tag', name],
      ...Object.entries(args).flatMap(([key, value]) => ['--build-arg', `${key}=${value}`]),
      ...Object.entries(mounts).flatMap(([to, from]) => ['--volume', `${from}:${to}:ro`]),
      context,
    );
  }

  async configOf(image: string): Promise<ImageConfig> {
    const inspected = JSON.parse(await this.#run('inspect', '--type', 'image', image)) as {
      readonly Docker: { readonly config: ImageConfig };
    };
    return inspected.Docker.config;
  }

  /** Makes a container and mounts its file system. */
  async container(image: string): Promise<{ readonly name: string; readonly root: string }> {
    const name = await this.#run('from', '--pull-never', image);
    this.#made.push(name);
    return { name, root: await this.#run('mount', name) };
  }

  /** Runs a command in a container as the image's user; what it prints. */
  run(container: string, command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
    const variables = Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`]);
    return this.#run('run', '--isolation', 'chroot', ...variables, container, '--', ...command);
  }

  /** Unmounts and deletes the containers; images go with the folder. */
  async end(): Promise<void> {
    for (const name of this.#made) {
      await this.#run('umount', name);
      await this.#run('rm', name);
    }
  }

  async #run(...args: readonly string[]): Promise<string> {
    return (await runCommand('buildah', [...this.#store, ...args], { cwd: this.#folder })).trim();
  }
}
