import { similarName } from '#kernel/known_names';
import { errorPages } from '#monitoring/http/docs/error_pages';
import { print, printList } from '../terminal/print.ts';
import { UsageError } from '../terminal/usage_error.ts';

/** `headwater errors list`. */
export function listErrors({ json }: { readonly json: boolean }): void {
  printList(errorPages().keys(), { json, line: (code) => code, empty: 'there are no codes' });
}

/** `headwater errors show CODE`. @throws {@link UsageError} for a code that does not exist */
export function showError(code: string): void {
  const pages = errorPages();
  const page = pages.get(code.toUpperCase());
  if (page === undefined) {
    const meant = similarName(code, [...pages.keys()]);
    const advice = meant === undefined ? '"headwater errors list" lists them' : `did you mean "${meant}"?`;
    throw new UsageError(`there is no error code "${code}"; ${advice}`);
  }
  print(`${code.toUpperCase()}\n\n${page}`);
}
