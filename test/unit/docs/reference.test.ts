import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { createProgram } from '#cli/commands/program';
import { assetPath } from '#kernel/project_root';
import { commandsReference, configurationReference, featureReference, REFERENCE_FOLDER } from '#scripts/reference';
import { CATALOG } from '../../support/all_definitions.ts';

test.each([
  ['commands', () => commandsReference(createProgram())],
  ['configuration', configurationReference],
  ['features', () => featureReference(CATALOG)],
])('the reference of %s is what npm run reference writes', (name, written) => {
  expect(readFileSync(assetPath(`${REFERENCE_FOLDER}/${name}.md`), 'utf8')).toBe(written());
});
