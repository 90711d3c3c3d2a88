import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { describeBroker } from './broker_contract.ts';

describeBroker('the disk log', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'disk-log-'));
  const log = new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory, fsync: 'never', segmentBytes: 300_000 },
  );
  await log.start();
  return log;
});
