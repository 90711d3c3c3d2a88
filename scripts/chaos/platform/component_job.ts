import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, PlatformError } from '#kernel/errors';
import { loadComponent } from './components/load.ts';

// The process that a round kills, pauses or competes with: opens a component and writes ids until it is killed or told to end (SIGTERM).
// Arguments: component, folder, prefix of its ids, pause between writes (ms). On standard output: "open", then a line of ids for each write that was accepted.

const [name = '', folder = '', prefix = '', pauseMs = '0'] = process.argv.slice(2);
const component = await loadComponent(name);

let isEnding = false;
process.on('SIGTERM', () => {
  isEnding = true;
});
const say = (line: string): void => void writeSync(1, `${line}\n`);

const refused = (error: unknown): string =>
  error instanceof PlatformError ? `refused ${error.code} ${messageOf(error)}` : `unnamed ${messageOf(error)}`;

try {
  const open = await component.open(folder);
  say('open');
  for (let next = 0; !isEnding; ) {
    const ids = Array.from({ length: component.batch }, () => `${prefix}-${next++}`);
    try {
      await open.write(ids);
      say(`accepted ${ids.join(' ')}`);
    } catch (error) {
      say(`not accepted ${refused(error).replaceAll('\n', ' ')}`);
      if (!(error instanceof PlatformError)) throw error;
    }
    if (pauseMs !== '0') await sleep(Number(pauseMs));
  }
  await open.close();
  say('closed');
} catch (error) {
  say(refused(error).replaceAll('\n', ' '));
  process.exitCode = 1;
}
