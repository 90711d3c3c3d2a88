import { expect, test } from '@jest/globals';
import { createLogger } from '#monitoring/log';

test('a line is JSON with its fields and its event; what is secret is in none', () => {
  const lines: string[] = [];
  const log = createLogger({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const secrets = {
    password: 'hunter2',
    token: 'hunter2',
    secret: 'hunter2',
    apiKey: 'hunter2',
    authorization: 'hunter2',
  };
  log
    .child({ component: 'redis' })
    .info({ ...secrets, config: { ...secrets, sasl: secrets }, host: 'h' }, 'redis.connected');
  log.debug({ ...secrets }, 'too.small');
  expect(lines).toHaveLength(1);
  const line = JSON.parse(lines[0] as string) as Record<string, unknown>;
  expect(line).toMatchObject({
    level: 'info',
    service: 'headwater',
    component: 'redis',
    host: 'h',
    msg: 'redis.connected',
  });
  expect(line).toMatchObject({
    password: '[redacted]',
    config: { token: '[redacted]', sasl: { apiKey: '[redacted]' } },
  });
  expect(lines[0]).not.toContain('hunter2');
});
