import type { SavedKey } from '../keyed_state.ts';
import type { StoredPart } from '../state_backend.ts';
import { groupEntries } from './stored_group_by_key.ts';
import { tileEntries } from './stored_sliding_combine.ts';
import { timerEntries } from './stored_timers.ts';

/** How records of each part are read as entries of a snapshot, which every backend restores. */
const ENTRIES: Readonly<Record<StoredPart, (packed: SavedKey) => Iterable<unknown>>> = {
  timers: timerEntries,
  groups: groupEntries,
  tiles: tileEntries,
};

/**
 * Returns a key's record as entries of a snapshot.
 *
 * @param part - undefined: the cells of a DoFn
 * @param packed - the record's cells, as they were written
 */
export const entriesOfRecord = (part: StoredPart | undefined, packed: SavedKey): Iterable<unknown> =>
  part === undefined ? [{ key: packed }] : ENTRIES[part](packed);
