import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Random } from './random.ts';

// What happens to files while no process has them open.

/** Hidden names are the round's own, or locks: locks are made anew. */
function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(
      (file) =>
        !relative(folder, file)
          .split('/')
          .some((part) => part.startsWith('.') || part.endsWith('.lock')),
    )
    .filter((file) => statSync(file).size > 0)
    .sort();
}

/** Returns a file below a folder: each kind of file is as likely as any other, so that small ones are met as well. */
function pickFile(folder: string, random: Random): string {
  const byKind = new Map<string, string[]>();
  for (const file of filesBelow(folder)) {
    const kind = relative(folder, file).replaceAll(/[0-9a-f-]*\d[0-9a-f-]*/gi, '#');
    byKind.set(kind, [...(byKind.get(kind) ?? []), file]);
  }
  return random.pick(byKind.get(random.pick([...byKind.keys()])) as string[]);
}

export interface Damage {
  readonly name: string;
  /** @returns what was done, for the report of a failure */
  happen(folder: string, random: Random): string;
}

export const BIT_FLIP: Damage = {
  name: 'bit flip',
  happen(folder, random) {
    const file = pickFile(folder, random);
    const bytes = readFileSync(file);
    const at = random.between(0, bytes.length - 1);
    const bit = random.between(0, 7);
    bytes[at] = (bytes[at] as number) ^ (1 << bit);
    writeFileSync(file, bytes);
    return `bit ${bit} of byte ${at} of ${relative(folder, file)} (${bytes.length} bytes)`;
  },
};

export const TRUNCATION: Damage = {
  name: 'truncation',
  happen(folder, random) {
    const file = pickFile(folder, random);
    const { size } = statSync(file);
    const kept = random.next() < 0.5 ? random.between(Math.max(0, size - 100), size - 1) : random.between(0, size - 1);
    truncateSync(file, kept);
    return `${relative(folder, file)} cut from ${size} to ${kept} bytes`;
  },
};

export const ZEROED_SECTOR: Damage = {
  name: 'zeroed sector',
  happen(folder, random) {
    const file = pickFile(folder, random);
    const bytes = readFileSync(file);
    const at = 512 * random.between(0, Math.floor((bytes.length - 1) / 512));
    bytes.fill(0, at, Math.min(at + 512, bytes.length));
    writeFileSync(file, bytes);
    return `${Math.min(512, bytes.length - at)} bytes from byte ${at} of ${relative(folder, file)} are zeros`;
  },
};

export const GARBAGE: Damage = {
  name: 'garbage',
  happen(folder, random) {
    const file = pickFile(folder, random);
    const bytes = readFileSync(file);
    const at = random.between(0, bytes.length);
    const garbage = Buffer.from(Array.from({ length: random.between(1, 200) }, () => random.between(0, 255)));
    writeFileSync(file, Buffer.concat([bytes.subarray(0, at), garbage, bytes.subarray(at)]));
    return `${garbage.length} random bytes put at byte ${at} of ${relative(folder, file)} (${bytes.length} bytes)`;
  },
};

export const SWAPPED_SECTORS: Damage = {
  name: 'swapped sectors',
  happen(folder, random) {
    const file = pickFile(folder, random);
    const bytes = readFileSync(file);
    const size = Math.min(512, Math.max(1, bytes.length >> 1));
    const sectors = Math.floor(bytes.length / size);
    const [one, other] = [random.between(0, sectors - 1), random.between(0, sectors - 1)];
    const kept = Buffer.from(bytes.subarray(one * size, (one + 1) * size));
    bytes.copyWithin(one * size, other * size, (other + 1) * size);
    kept.copy(bytes, other * size);
    writeFileSync(file, bytes);
    return `${size} bytes from ${one * size} and from ${other * size} of ${relative(folder, file)} have changed places`;
  },
};

export const REPEATED_BYTES: Damage = {
  name: 'repeated bytes',
  happen(folder, random) {
    const file = pickFile(folder, random);
    const bytes = readFileSync(file);
    const from = random.next() < 0.3 ? 0 : random.between(0, bytes.length - 1);
    writeFileSync(file, Buffer.concat([bytes, bytes.subarray(from)]));
    return `bytes from ${from} on of ${relative(folder, file)} (${bytes.length} bytes) follow once more`;
  },
};
