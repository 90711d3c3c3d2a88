import { readFile } from 'node:fs/promises';

/** What a process has used: processor time of all its threads since it started, and memory now. */
export interface Usage {
  readonly cpuMs: number;
  readonly memoryBytes: number;
}

/** Linux counts processor time in hundredths of a second. */
const MS_PER_TICK = 10;
const PAGE_BYTES = 4_096;
/** Fields of /proc/PID/stat behind the name in brackets, which may hold anything: user and system time, resident pages. */
const [USER, SYSTEM, PAGES] = [11, 12, 21];

/** Returns what a process has used; undefined where there is none, or no /proc. */
export async function usageOf(pid: number | undefined): Promise<Usage | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    cpuMs: (Number(fields[USER]) + Number(fields[SYSTEM])) * MS_PER_TICK,
    memoryBytes: Number(fields[PAGES]) * PAGE_BYTES,
  };
}
