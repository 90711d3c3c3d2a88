// A process that takes a folder's lock again and again. While it has it, no living process may be inside: exit code 3.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { FolderLock } from '#storage/folder_lock';

const [folder, inside, turns, diesEvery] = process.argv.slice(2);

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

for (let turn = 0; turn < Number(turns); turn += 1) {
  const lock = await FolderLock.acquire(folder, { waitMs: 90_000 });
  try {
    writeFileSync(inside, String(process.pid), { flag: 'wx' });
  } catch {
    const other = Number(readFileSync(inside, 'utf8'));
    if (other === 0 || isAlive(other)) {
      process.stderr.write(`process ${other} is inside as well\n`);
      process.exit(3);
    }
    writeFileSync(inside, String(process.pid));
  }
  await sleep(Math.random() * 3);
  if (Math.random() < 1 / Number(diesEvery)) process.kill(process.pid, 'SIGKILL');
  rmSync(inside);
  await lock.release();
}
