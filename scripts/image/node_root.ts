import { cp, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '#scripts/building/installed_package';
import { cacheFolder, ensureDebianPackages, once, run } from '#scripts/services/install';
import { nodeBinary } from '#scripts/services/node_binary';

const DEBIAN = 'bookworm';
const NPM = '11.21.2';
/** What images of Debian are published without. */
const LEFT_OUT = ['var/cache/apt', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/man', 'usr/share/locale'];

/**
 * Makes what stands for `node:VERSION-slim` where no registry of images can be reached: Debian's smallest system by debootstrap, with Node and npm
 * of npm's packages, and the user `node`. Kept below the cache.
 *
 * @returns the folder of its files
 */
export async function nodeRoot(version: string): Promise<string> {
  await ensureDebianPackages(['buildah', 'debootstrap'], ['/usr/bin/buildah', '/usr/sbin/debootstrap']);
  const folder = join(cacheFolder, 'deployment', `node-${version}-${DEBIAN}`);
  const root = join(folder, 'root');
  await once(folder, `making a root of Debian and Node ${version}`, async () => {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    await run('debootstrap', ['--variant=minbase', DEBIAN, root]);
    for (const path of LEFT_OUT) {
      await rm(join(root, path), { recursive: true, force: true });
      await mkdir(join(root, path));
    }
    await run('chroot', [
      root,
      'useradd',
      '--uid',
      '1000',
      '--user-group',
      '--create-home',
      '--shell',
      '/bin/bash',
      'node',
    ]);
    await cp(await nodeBinary(version), join(root, 'usr/local/bin/node'));
    await writeFile(join(folder, 'package.json'), '{"private":true}\n');
    const install = ['install', '--ignore-scripts', '--no-audit', '--no-fund', `npm@${NPM}`];
    await runCommand('npm', install, { cwd: folder });
    const modules = join(root, 'usr/local/lib/node_modules');
    await mkdir(modules, { recursive: true });
    await cp(join(folder, 'node_modules/npm'), join(modules, 'npm'), { recursive: true });
    for (const name of ['npm', 'npx']) {
      await symlink(`../lib/node_modules/npm/bin/${name}-cli.js`, join(root, 'usr/local/bin', name));
    }
  });
  return root;
}
