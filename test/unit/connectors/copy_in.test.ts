import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { copyText } from '#connectors/postgres/copy_in';

/** As PostgreSQL reads a column of COPY's text format: https://www.postgresql.org/docs/current/sql-copy.html, Text Format. */
function readColumn(text: string): string {
  expect(text).not.toMatch(/[\t\n\r]/);
  return text.replace(/\\(.)/g, (_, character: string) => ({ t: '\t', n: '\n', r: '\r' })[character] ?? character);
}

test('every string comes back from COPY’s text format, and none is read as the end of the data or as a missing value', () => {
  const characters = fc.constantFrom('\\', '\t', '\n', '\r', '.', 'N', 'n', 't', '"', 'é', '💧', 'x');
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(characters).map((list) => list.join('')),
      ),
      (text) => {
        const column = copyText(text);
        expect(readColumn(column)).toBe(text);
        expect(['\\N', '\\.']).not.toContain(column);
      },
    ),
  );
});
