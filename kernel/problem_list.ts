/** An answer names so many problems, or names that a caller sent, at most. */
export const MOST_NAMED = 20;
const LONGEST_SHOWN = 200;

/** Text that a caller sent, as an answer shows it: 200 characters unless `most` says otherwise. */
export const shown = (text: string, most = LONGEST_SHOWN): string =>
  text.length <= most ? text : `${text.slice(0, most).toWellFormed()}… (${text.length} characters)`;

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
  const others = total - Math.min(items.length, MOST_NAMED);
  return others > 0 ? `${list}${separator}and ${others.toLocaleString('en-US')} more` : list;
}
