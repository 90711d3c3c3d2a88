import { expect, test } from '@jest/globals';
import { loadPlatformConfig } from '#cli/project/config/platform_config';

test.each([
  [{}, 8_000],
  [{ API_PORT: '9001' }, 9_001],
  [{ SAGEMAKER_BIND_TO_PORT: '9002' }, 9_002],
  [{ API_PORT: '9001', SAGEMAKER_BIND_TO_PORT: '9002' }, 9_002],
])('with %j serving listens on %i', (env, port) => {
  expect(loadPlatformConfig(env).serving.port).toBe(port);
});

test('a port that is none is named', () => {
  expect(() => loadPlatformConfig({ SAGEMAKER_BIND_TO_PORT: 'first' })).toThrow(
    /environment variable SAGEMAKER_BIND_TO_PORT must be a number/,
  );
});
