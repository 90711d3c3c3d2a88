import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';

// A process whose parent lets go of it: while it is loading its modules, and later.

test.each(['while it is loading', 'later'])(
  'a process ends once its parent is gone: %s',
  async (when) => {
    const folder = mkdtempSync(join(tmpdir(), 'parent-gone-'));
    const entry = join(folder, 'child.mjs');
    const module = JSON.stringify(assetPath('dist/kernel/workers/parent_process.js'));
    writeFileSync(
      entry,
      [
        "process.send('loading');",
        // As modules that take long to load; the channel is read meanwhile.
        when === 'later' ? '' : 'await new Promise((resolve) => setInterval(() => process.connected || resolve(), 5));',
        `const { whenParentIsGone } = await import(${module});`,
        'whenParentIsGone(() => process.exit(7));',
        "process.send?.('loaded', () => {});",
        'setInterval(() => {}, 1_000);',
      ].join('\n'),
    );
    const child = fork(entry, { execArgv: [] });
    try {
      await once(child, 'message');
      if (when === 'later') await once(child, 'message');
      child.disconnect();
      const [code] = await once(child, 'exit');
      expect(code).toBe(7);
    } finally {
      child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    }
  },
  30_000,
);
