import { stableHash32 } from '#kernel/hashes/hash';

/** A part of the platform that keeps things on disk, as chaos uses it: by ids, each with a content that the id decides. */
export interface Component {
  readonly name: string;
  /** Ids that are written together. */
  readonly batch: number;
  /** Room that its files need before anything is written, MiB. */
  readonly needsMib: number;
  /** A second process on its folder is refused while it is open; false: its writers take turns. */
  readonly isExclusive: boolean;
  /** @throws a named error when what is on disk is not what was written */
  open(folder: string): Promise<OpenComponent>;
}

export interface OpenComponent {
  /** Resolves when all of them are accepted; after an error none of them counts as accepted. */
  write(ids: readonly string[]): Promise<void>;
  /**
   * Returns how often each id is found with the right content.
   *
   * @param accepted - in the order in which they were
   */
  found(accepted: readonly string[]): Promise<ReadonlyMap<string, number>>;
  close(): Promise<void>;
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyzäöüß漢字🙂';
const LETTERS = [...ALPHABET];

/** Returns what is kept under an id: 20 to about 700 characters. */
export function contentOf(id: string): string {
  const hash = stableHash32(id);
  const length = 20 + (hash % 680);
  let content = `${id} `;
  for (let at = 0; content.length < length; at += 1)
    content += LETTERS[(hash + at * (1 + (hash % 7))) % LETTERS.length];
  return content;
}

export function counted(ids: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}
