import { spawnSync } from 'node:child_process';

/** A process, and the processor time that it has used. */
export interface ChildInfo {
  readonly pid: number;
  readonly cpuSeconds: number;
}

/** Returns the processes that a process has started, the oldest first. */
export function processesOf(parent: number | undefined): readonly ChildInfo[] {
  const { stdout } = spawnSync('ps', ['-o', 'pid=,cputimes=', '--ppid', String(parent)], { encoding: 'utf8' });
  return stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .flatMap(([pid, cpuSeconds]) => (pid === undefined || cpuSeconds === undefined ? [] : [{ pid, cpuSeconds }]));
}
