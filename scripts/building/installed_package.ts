import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rename, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { assetPath } from '#kernel/project_root';
import { cacheFolder } from '#scripts/services/install';

const execute = promisify(execFile);

/** What a command runs with: a user's environment, without what Jest and this repository add. */
export const userEnvironment: Readonly<Record<string, string | undefined>> = {
  ...process.env,
  ...{ NODE_OPTIONS: '', HEADWATER_PROJECT: '', NODE_ENV: '', CI: '' },
  // npm hands the settings of this repository's .npmrc on.
  npm_config_onnxruntime_node_install: undefined,
  ...{ npm_config_fund: 'false', npm_config_audit: 'false', npm_config_prefer_offline: 'true' },
};

/** Prints a line of progress; `npm run test:package` shows what a test writes to standard error. */
export function progress(text: string): void {
  process.stderr.write(`    ${text}\n`);
}

/** Returns how long something took since a time of `performance.now()`, such as `1.2 s`. */
export const secondsSince = (fromMs: number): string => `${((performance.now() - fromMs) / 1_000).toFixed(1)} s`;

export interface RunOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Printed with the time that the command took. */
  readonly as?: string;
}

/**
 * Runs a command to its end and returns its standard output.
 *
 * @throws an error with both outputs when the exit code is not 0
 */
export async function runCommand(
  command: string,
  args: readonly string[],
  { cwd, env = {}, as }: RunOptions,
): Promise<string> {
  const startedMs = performance.now();
  const options = { cwd, env: { ...userEnvironment, ...env } as NodeJS.ProcessEnv, maxBuffer: 2 ** 28 };
  try {
    const { stdout } = await execute(command, [...args], options);
    if (as !== undefined) progress(`${as}: ${secondsSince(startedMs)}`);
    return stdout;
  } catch (error) {
    const { code, stdout = '', stderr = '' } = error as { code?: unknown; stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(' ')} in ${cwd} ended with ${code}:\n${stdout}\n${stderr}`);
  }
}

/** Packs a built source tree as `npm publish` would and returns the tarball's path. */
export async function packTree(source: string, to: string): Promise<string> {
  await mkdir(to, { recursive: true });
  const packing = ['pack', '--json', '--ignore-scripts', '--pack-destination', to];
  const printed = await runCommand('npm', packing, { cwd: source });
  const [{ filename, unpackedSize }] = JSON.parse(printed) as [{ filename: string; unpackedSize: number }];
  progress(`tarball of ${(unpackedSize / 1e6).toFixed(1)} MB unpacked`);
  return join(to, filename);
}

/**
 * Builds and packs a commit of this repository, with the packages of this workspace as build tools, and returns the tarball's path.
 * A commit does not change, so its tarball stays in the cache.
 */
export async function packCommit(commit: string): Promise<string> {
  const name = `package-${commit.slice(0, 12)}`;
  const cached = join(cacheFolder, `${name}.tgz`);
  if (existsSync(cached)) return cached;
  const startedMs = performance.now();
  const source = await mkdtemp(join(tmpdir(), `${name}-`));
  const archive = spawn('git', ['archive', commit], { cwd: assetPath(''), stdio: ['ignore', 'pipe', 'inherit'] });
  const unpacked = spawn('tar', ['-x', '-C', source], { stdio: [archive.stdout as never, 'inherit', 'inherit'] });
  const [[code], [unpackedCode]] = await Promise.all([once(archive, 'exit'), once(unpacked, 'exit')]);
  if (code !== 0 || unpackedCode !== 0) {
    throw new Error(
      `git archive ${commit} failed: the history of the repository is needed, as git fetch --unshallow gives it`,
    );
  }
  await symlink(assetPath('node_modules'), join(source, 'node_modules'));
  const { scripts } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as { scripts: { build: string } };
  // npm links the commands of packages into the path of a script.
  const path = `${assetPath('node_modules/.bin')}:${process.env.PATH ?? ''}`;
  await runCommand('bash', ['-c', scripts.build], { cwd: source, env: { PATH: path } });
  const tarball = await packTree(source, join(source, 'packed'));
  await mkdir(cacheFolder, { recursive: true });
  await copyFile(tarball, `${cached}.${process.pid}`);
  await rename(`${cached}.${process.pid}`, cached);
  await rm(source, { recursive: true });
  progress(`built and packed ${commit.slice(0, 7)}: ${secondsSince(startedMs)}`);
  return cached;
}
