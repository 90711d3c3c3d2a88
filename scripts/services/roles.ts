import { join } from 'node:path';
import { PORTS, type Role } from '#cli/terminal/choices';
import { assetPath, projectRoot } from '#kernel/project_root';
import { freePort, type ManagedProcess, startProcess } from './managed_process.ts';

const CLI = assetPath('dist/cli/headwater.js');
const READY_WITHIN_MS = 180_000;

/**
 * Starts roles of the platform, each a process of its own with a data directory of its own.
 *
 * @param probes - what answers once a role has started, where that is not `/health/ready`
 */
export async function startRoles(
  folder: string,
  env: Readonly<Record<string, string>>,
  names: readonly Role[],
  probes: Readonly<Partial<Record<Role, string>>> = {},
) {
  const ports = {} as Record<Role, number>;
  const roles = {} as Record<Role, ManagedProcess>;
  for (const role of names) {
    const port = await freePort();
    ports[role] = port;
    roles[role] = await startProcess({
      ...{ name: role, command: process.execPath, args: [CLI, 'start', '--role', role], cwd: folder },
      env: {
        ...{ HEADWATER_PROJECT: projectRoot, ...env, DATA_DIRECTORY: join(folder, `data-${role}`) },
        [PORTS[role].variable]: String(port),
      },
      logFile: join(folder, `${role}.log`),
      isReady: async () => (await fetch(`http://127.0.0.1:${port}${probes[role] ?? '/health/ready'}`)).ok,
      readyWithinMs: READY_WITHIN_MS,
    });
    process.stdout.write(`${role} runs\n`);
  }
  return { roles, ports };
}
