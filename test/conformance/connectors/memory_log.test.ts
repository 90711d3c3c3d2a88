import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryLog } from '#connectors/memory/memory_log';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { describeBroker } from './broker_contract.ts';

describeBroker('the memory log', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'memory-log-'));
  const log = new MemoryLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'memory', directory, fsync: 'never', segmentBytes: 300_000 },
  );
  await log.start();
  return log;
});
