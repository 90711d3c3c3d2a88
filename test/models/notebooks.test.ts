import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { freePort } from '#scripts/services/managed_process';
import { temporaryFolder } from '../support/servers/disk_folder.ts';

// JupyterLab of Python's index in a project: reached with its token alone, and stopped when it is idle, its kernel too.

test('notebooks require their token, and stop when they are idle', async () => {
  const folder = temporaryFolder('notebooks');
  try {
    writeFileSync(join(folder, 'headwater.config.ts'), 'export default {};\n');
    const port = await freePort();
    const args = ['notebooks', 'start', '--idle', '5s', '--port', String(port)];
    const child = spawn(process.execPath, [assetPath('dist/cli/headwater.js'), ...args], {
      ...{ cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] },
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    const ended = once(child, 'close');
    const lines: string[] = [];
    createInterface({ input: child.stderr }).on('line', (line) => lines.push(line));
    const printed: string[] = [];
    const output = createInterface({ input: child.stdout });
    output.on('line', (line) => printed.push(line));
    await once(output, 'line');
    const { origin, searchParams } = new URL(printed[0] as string);
    const authorization = `token ${searchParams.get('token')}`;
    const kernels = `${origin}/api/kernels`;
    expect((await fetch(kernels, { method: 'POST' })).status).toBe(403);
    expect((await fetch(kernels, { method: 'POST', headers: { authorization } })).status).toBe(201);
    expect(await (await fetch(kernels, { headers: { authorization } })).json()).toHaveLength(1);
    const [code] = (await ended) as [number];
    expect([code, [...printed, ...lines].join('\n')]).toEqual([0, expect.stringContaining('notebooks.idle_stopped')]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 600_000);
