import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder, run } from './install.ts';

/**
 * Installs Node once, below the cache, by npm's package `node`.
 *
 * @param version - such as `24` or `22.4.1`
 * @returns the path of its binary
 */
export async function nodeBinary(version: string): Promise<string> {
  const folder = join(cacheFolder, `node-${version}`);
  const binary = join(folder, 'node_modules/node/bin/node');
  if (existsSync(binary)) return binary;
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), '{"private":true}\n');
  await run('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', `node@${version}`]);
  if (!existsSync(binary)) throw new Error(`npm install node@${version} in ${folder} brought no ${binary}`);
  return binary;
}
