import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import Sequencer from '@jest/test-sequencer';

const ROOT = new URL('../../../', import.meta.url).pathname;
const SECONDS = JSON.parse(readFileSync(new URL('slow_files.json', import.meta.url), 'utf8'));

/**
 * Starts the slow files first, the slowest of them at once: one that starts last costs its whole time while the other worker waits. Jest knows times only of
 * its last run here, and a clean clone has none. Files that are not listed follow in Jest's order.
 */
export default class SlowestFirst extends Sequencer {
  sort(tests) {
    const seconds = ({ path }) => SECONDS[relative(ROOT, path)] ?? 0;
    return [...super.sort(tests)].sort((one, other) => seconds(other) - seconds(one));
  }
}
