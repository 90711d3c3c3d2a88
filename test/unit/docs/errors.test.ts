import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { globSync } from 'tinyglobby';
import { assetPath, projectRoot } from '#kernel/project_root';
import { errorPages } from '#monitoring/http/docs/error_pages';
import { declaredErrors, errorsIn, errorsReference } from '#scripts/writing/error_reference';

// `type` of an error's answer leads to its code in docs/errors.md.

test('docs/errors.md is what npm run reference writes', () => {
  expect(readFileSync(assetPath('docs/errors.md'), 'utf8')).toBe(errorsReference());
});

test('every code that is declared has a page, and each page says what happened', () => {
  const folders =
    'kernel,configs,monitoring,storage,connectors,registry,feature_store,pipelines,serving,workflows,client,cli';
  const codes = globSync([`{${folders}}/**/*.ts`], { cwd: projectRoot }).flatMap((file) =>
    [...readFileSync(assetPath(file), 'utf8').matchAll(/readonly code = '(\w+)'/g)].map(([, code]) => code as string),
  );
  const pages = errorPages();
  expect(codes.length).toBeGreaterThan(50);
  expect(codes.filter((code) => !pages.has(code))).toEqual([]);
  const silent = declaredErrors().filter(({ meaning, messages }) => meaning === '' && messages.length === 0);
  expect(silent.map(({ code, name }) => `${code} ${name}`)).toEqual([]);
});

test('messages have names for what differs, in choices each, and the facts that a class states', () => {
  const source = `
    /** What it {@link Means}. @throws never */
    export class GoneError extends PlatformError {
      readonly code = 'KERNEL_GONE';
      readonly httpStatus = 410;
      constructor(place: string, cause: unknown, isFile: boolean) {
        super(isFile ? \`\${place}: file \${messageOf(cause)}\` : \`no <\${place.name}>\`, { fault: 'caller', retryable: true });
      }
    }`;
  expect(errorsIn('kernel/errors.ts', source)).toEqual([
    {
      ...{ code: 'KERNEL_GONE', name: 'GoneError', file: 'kernel/errors.ts', meaning: 'What it `Means`.' },
      ...{ messages: ['{place}: file {cause}', 'no <{name}>'], fault: 'caller', retryable: true, status: 410 },
    },
  ]);
});
