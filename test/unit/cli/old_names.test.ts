import { expect, test } from '@jest/globals';
import { loadPlatformConfig } from '#cli/project/platform_config';

test.each(['memory', 'disk_log'])('INGEST_SINK=%s is the log on disk, over another environment', (sink) => {
  const env = { ENVIRONMENT: 'services', INGEST_SINK: sink, DATA_DIRECTORY: '/data' };
  expect(loadPlatformConfig(env)).toMatchObject({
    broker: { kind: 'disk_log', directory: '/data/log' },
    onlineStore: { kind: 'redis' },
  });
});
