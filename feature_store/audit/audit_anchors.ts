import { type FileSystem, pathIn, readWhole } from '#connectors/files/file_system';
import type { FileSystemOf } from '#connectors/files/file_systems';
import type { Clock } from '#kernel/time';
import { AuditTrailChangedError } from '../errors.ts';
import { type AuditAnchor, type AuditKeys, MOST_HASHES } from './anchor.ts';
import type { AuditTrail } from './audit_trail.ts';

export interface AuditAnchorsDeps {
  readonly trail: Pick<AuditTrail, 'readHashes'>;
  readonly fileSystems: FileSystemOf;
  readonly clock: Clock;
}

/** How the trail compares with what was kept of it. */
export interface AnchorCheck {
  /** Entries that anchors cover. */
  readonly anchored: number;
  /** Entries that were added since the newest anchor: nothing outside the database knows them. */
  readonly notAnchored: number;
  /** The first entry that differs, and files that are no anchors of this key. */
  readonly problems: readonly string[];
}

interface KeptAnchor extends AuditAnchor {
  readonly file: string;
}

interface Anchored {
  readonly entries: number;
  /** Hash of the last one. */
  readonly head: string | undefined;
}

const SUFFIX = '.anchor.json';
/** Digits of a number of entries in a file's name: names are in the order of the trail. */
const DIGITS = 12;

/** Keeps signed hashes of the audit trail in a folder or bucket, and compares the trail with them. */
export class AuditAnchors {
  readonly #deps: AuditAnchorsDeps;
  readonly #directory: string;
  readonly #keys: AuditKeys;
  readonly #files: FileSystem;
  /** Undefined until the folder was read. */
  #last: Anchored | undefined;

  constructor(deps: AuditAnchorsDeps, settings: { readonly directory: string; readonly keys: AuditKeys }) {
    this.#deps = deps;
    this.#directory = settings.directory;
    this.#keys = settings.keys;
    this.#files = deps.fileSystems(settings.directory);
  }

  /**
   * Anchors entries that were added since. Another process may do the same: both write the same hashes.
   *
   * @returns entries that are anchored
   * @throws {@link AuditTrailChangedError} when the entry that was anchored last is another now, or gone: nothing is written
   */
  async anchor(): Promise<number> {
    let last = this.#last ?? (await this.#findLast());
    for (;;) {
      const { entries, head } = last;
      const from = Math.max(0, entries - 1);
      const found = await this.#deps.trail.readHashes(from, MOST_HASHES + 1);
      const [before] = found;
      if (entries > 0 && before?.hash !== head) {
        throw new AuditTrailChangedError(entries, head ?? '', before?.hash);
      }
      const added = entries > 0 ? found.slice(1) : found.slice(0, MOST_HASHES);
      if (added.length === 0) return entries;
      const hashes = added.map(({ hash }) => hash);
      const anchoredAt = new Date(this.#deps.clock.now()).toISOString();
      last = { entries: entries + hashes.length, head: hashes.at(-1) };
      const name = `${String(last.entries).padStart(DIGITS, '0')}-${last.head?.slice(0, 16)}${SUFFIX}`;
      await this.#files.write(pathIn(this.#directory, name), this.#keys.sign({ from: entries, hashes, anchoredAt }));
      this.#last = last;
    }
  }

  async verify(): Promise<AnchorCheck> {
    const { anchors, problems } = await this.#read();
    const anchored = anchors.reduce((most, { from, hashes }) => Math.max(most, from + hashes.length), 0);
    const difference = await this.#firstDifference(anchors);
    const notAnchored = await this.#countFrom(anchored);
    if (anchors.length === 0 && notAnchored > 0) problems.push(`there is no anchor in ${this.#directory}`);
    // Files that cannot be read leave a gap that is named already.
    if (problems.length === 0) problems.push(...this.#gaps(anchors));
    if (difference !== undefined) problems.push(difference);
    return { anchored, notAnchored, problems };
  }

  /** Entries that no anchor covers, though a later one covers its own: their anchors were removed. */
  #gaps(anchors: readonly KeptAnchor[]): readonly string[] {
    const gaps: string[] = [];
    let covered = 0;
    for (const { from, hashes } of anchors.toSorted((one, other) => one.from - other.from)) {
      if (from > covered) gaps.push(`${this.#directory} has no anchor of entries ${covered + 1} to ${from}`);
      covered = Math.max(covered, from + hashes.length);
    }
    return gaps;
  }

  async #firstDifference(anchors: readonly KeptAnchor[]): Promise<string | undefined> {
    let first: { readonly entry: number; readonly text: string } | undefined;
    for (const { file, from, hashes, anchoredAt } of anchors) {
      const found = await this.#deps.trail.readHashes(from, hashes.length);
      const at = hashes.findIndex((hash, index) => found[index]?.hash !== hash);
      const entry = from + at + 1;
      if (at < 0 || (first !== undefined && first.entry <= entry)) continue;
      const now = found[at];
      const what =
        now === undefined
          ? `entry ${entry} of the trail is gone`
          : `entry ${entry} of the trail (id ${now.id}) has hash ${now.hash}`;
      first = { entry, text: `${what}; at ${anchoredAt} its hash was ${hashes[at]} (${file})` };
    }
    return first?.text;
  }

  async #countFrom(from: number): Promise<number> {
    for (let count = 0; ; count += MOST_HASHES) {
      const found = await this.#deps.trail.readHashes(from + count, MOST_HASHES);
      if (found.length < MOST_HASHES) return count + found.length;
    }
  }

  async #read(): Promise<{ readonly anchors: readonly KeptAnchor[]; readonly problems: string[] }> {
    const anchors: KeptAnchor[] = [];
    const problems: string[] = [];
    for (const file of await this.#names()) {
      const opened = this.#keys.open(await readWhole(this.#files, file));
      if (typeof opened === 'string') problems.push(`${file} ${opened}`);
      else anchors.push({ ...opened, file });
    }
    return { anchors, problems };
  }

  /** What cannot be read is for {@link verify} to name. */
  async #findLast(): Promise<Anchored> {
    for (const file of [...(await this.#names())].reverse()) {
      const opened = this.#keys.open(await readWhole(this.#files, file));
      if (typeof opened !== 'string')
        return { entries: opened.from + opened.hashes.length, head: opened.hashes.at(-1) };
    }
    return { entries: 0, head: undefined };
  }

  #names(): Promise<readonly string[]> {
    return this.#files.glob(pathIn(this.#directory, `*${SUFFIX}`));
  }
}
