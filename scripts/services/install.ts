import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectRoot } from '#kernel/project_root';

export const cacheFolder = process.env.HEADWATER_CACHE ?? join(projectRoot, '.cache');

export function say(text: string): void {
  process.stdout.write(`services: ${text}\n`);
}

/** Runs a command to its end. @throws with the end of its output when it fails, or takes longer than `timeoutMs` */
export function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string>; timeoutMs?: number } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      timeout: options.timeoutMs,
    });
    let output = '';
    const collect = (chunk: Buffer): void => {
      output = (output + chunk.toString('utf8')).slice(-20_000);
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve(output);
      else
        reject(
          new Error(`${command} ${args.join(' ')} ended with ${signal ?? `code ${code}`}:\n${output.slice(-2_000)}`),
        );
    });
  });
}

let packageListsFresh = false;

/** Installs Debian packages when one of `files` is missing. */
export async function ensureDebianPackages(packages: readonly string[], files: readonly string[]): Promise<void> {
  if (files.every((file) => existsSync(file))) return;
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    throw new Error(
      `${files.join(', ')} is missing: install ${packages.join(', ')} (as root, on Debian or Ubuntu, this script does it)`,
    );
  }
  say(`installing ${packages.join(', ')}`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  if (!packageListsFresh) await run('apt-get', ['update', '-qq'], { env });
  packageListsFresh = true;
  // The packages must not start servers of their own.
  await writeFile('/usr/sbin/policy-rc.d', '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' }).catch(() => {});
  await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], { env });
}

/** Makes `folder` with `make` unless it is complete; an interrupted attempt is made again. */
export async function once(folder: string, what: string, make: () => Promise<void>): Promise<void> {
  const mark = join(folder, '.complete');
  if (existsSync(mark)) return;
  say(`${what} (kept in ${folder})`);
  await mkdir(folder, { recursive: true });
  await make();
  await writeFile(mark, '');
}

export async function ensureMaven(): Promise<void> {
  await run('mvn', ['--version']).catch(() => ensureDebianPackages(['maven'], ['/usr/bin/mvn']));
}
