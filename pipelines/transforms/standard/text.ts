import type { KV, PCollection, PTransform } from '#pipelines/model/pcollection';
import { named } from '#pipelines/model/transforms';

const textOf = (value: unknown): string =>
  typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);

/** Elements as strings: objects and arrays as JSON (Beam's ToString.elements). */
export const toStrings = <T>(name = 'ToString'): PTransform<PCollection<T>, PCollection<string>> =>
  named(name, (input: PCollection<T>) => input.map(textOf));

/** Writes KVs as `key,value` (Beam's ToString.kvs). */
export const kvsToStrings = <K, V>(
  delimiter = ',',
  name = 'ToString',
): PTransform<PCollection<KV<K, V>>, PCollection<string>> =>
  named(name, (input: PCollection<KV<K, V>>) =>
    input.map(({ key, value }) => `${textOf(key)}${delimiter}${textOf(value)}`),
  );

/** A pattern that does not keep its place between calls. */
const stateless = (pattern: RegExp, flags = ''): RegExp =>
  new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, '') + flags);

/** Returns, of each line that matches from beginning to end, a group; 0 is all of it (Beam's Regex.matches). */
export const regexMatches = (
  pattern: RegExp,
  group: number | string = 0,
  name = 'Regex.matches',
): PTransform<PCollection<string>, PCollection<string>> => {
  const whole = new RegExp(`^(?:${pattern.source})$`, stateless(pattern).flags);
  return named(name, (input: PCollection<string>) => input.flatMap((line) => found(whole.exec(line), group)));
};

/** Finds, of each line that holds the pattern somewhere, a group of the first match (Beam's Regex.find). */
export const regexFind = (
  pattern: RegExp,
  group: number | string = 0,
  name = 'Regex.find',
): PTransform<PCollection<string>, PCollection<string>> => {
  const first = stateless(pattern);
  return named(name, (input: PCollection<string>) => input.flatMap((line) => found(first.exec(line), group)));
};

/** Replaces: every match replaced (Beam's Regex.replaceAll). */
export const regexReplaceAll = (
  pattern: RegExp,
  replacement: string,
  name = 'Regex.replaceAll',
): PTransform<PCollection<string>, PCollection<string>> => {
  const all = stateless(pattern, 'g');
  return named(name, (input: PCollection<string>) => input.map((line) => line.replace(all, replacement)));
};

/** Lines cut where the pattern matches; empty pieces are left out unless `keepsEmpty` (Beam's Regex.split). */
export const regexSplit = (
  pattern: RegExp,
  { keepsEmpty = false, name = 'Regex.split' }: { readonly keepsEmpty?: boolean; readonly name?: string } = {},
): PTransform<PCollection<string>, PCollection<string>> => {
  const separator = stateless(pattern);
  return named(name, (input: PCollection<string>) =>
    input.flatMap((line) =>
      line.split(separator).filter((piece) => keepsEmpty || (piece !== undefined && piece !== '')),
    ),
  );
};

function found(match: RegExpExecArray | null, group: number | string): string[] {
  const text = typeof group === 'number' ? match?.[group] : match?.groups?.[group];
  return text === undefined ? [] : [text];
}
