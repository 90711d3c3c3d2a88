/** An answer names so many problems, or names that a caller sent, at most. */
export const MOST_NAMED = 20;
const LONGEST_SHOWN = 200;

/** Text that a caller sent, as an answer shows it: 200 characters unless `most` says otherwise. */
export const shown = (text: string, most = LONGEST_SHOWN): string =>
  text.length <= most ? text : `${text.slice(0, most).toWellFormed()}… (${text.length} characters)`;

/** Says how many more there are than are named; empty when all are. */
export const andMore = (others: number, separator: string): string =>
  others > 0 ? `${separator}and ${others.toLocaleString('en-US')} more` : '';

/**
 * Lists problems or names: the first {@link MOST_NAMED}, each cut to `longest` characters, and how many more there are.
 *
 * @param total - of all of them, where `items` are the first alone
 */
export function listed(
  items: readonly string[],
  { separator = ', ', longest = LONGEST_SHOWN, total = items.length } = {},
): string {
  const list = items
    .slice(0, MOST_NAMED)
    .map((item) => shown(item, longest))
    .join(separator);
  return list + andMore(total - Math.min(items.length, MOST_NAMED), separator);
}
