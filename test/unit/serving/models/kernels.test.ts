import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { compileKernel, KERNELS } from '#scripts/writing/kernels';

test.each(KERNELS)('$to is what npm run kernels writes', async (kernel) => {
  expect(readFileSync(assetPath(kernel.to), 'utf8')).toBe(await compileKernel(kernel));
});
