import { readFileSync } from 'node:fs';

const UUID = /^[0-9a-f-]{36}$/;

let known: string | undefined;

/**
 * Returns the id of this run of the operating system; empty where there is none. While it stays the same, what was written is there,
 * synced or not: only a crash of the machine loses what was not synced.
 */
export function bootId(): string {
  if (known === undefined) {
    try {
      const text = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
      known = UUID.test(text) ? text : '';
    } catch {
      known = '';
    }
  }
  return known;
}
