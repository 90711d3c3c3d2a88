import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { CATALOG } from '../../support/all_definitions.ts';
import { configurationReference, featureReference, REFERENCE_FOLDER } from '#scripts/reference';

test.each([
  ['configuration', configurationReference],
  ['features', () => featureReference(CATALOG)],
])('the reference of %s is what npm run reference writes', (name, written) => {
  expect(readFileSync(assetPath(`${REFERENCE_FOLDER}/${name}.md`), 'utf8')).toBe(written());
});
