import { useEffect, useState } from 'preact/hooks';

// The address of a page: its name, what it is of, and how it is looked at, `#/views/fraud@1?text=x`. Time range and filters are part of it, so that a link shows another reader the same.

/** Where the reader is. */
export interface Place {
  /** Path without the name of the page, decoded. */
  readonly parts: readonly string[];
  readonly page: string;
  readonly query: URLSearchParams;
}

export function placeNow(): Place {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [page = '', ...parts] = path.split('/').map((part) => decodeURIComponent(part));
  return { page, parts, query: new URLSearchParams(query) };
}

/** Returns the link to a page. Values that are empty are left out of the query. */
export function linkTo(
  parts: readonly (string | number)[],
  query: Readonly<Record<string, string | number | undefined>> = {},
): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `#/${parts.map((part) => encodeURIComponent(part).replaceAll('%40', '@')).join('/')}${text === '' ? '' : `?${text}`}`;
}

/** Follows the address. */
export function usePlace(): Place {
  const [place, setPlace] = useState(placeNow);
  useEffect(() => {
    const follow = () => setPlace(placeNow());
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  return place;
}

/** Returns a value of the query, and what changes it. @param usual - stands for no value */
export function useQuery(name: string, usual = ''): readonly [string, (value: string) => void] {
  const { query } = usePlace();
  const set = (value: string): void => {
    const { page, parts, query: now } = placeNow();
    const next = new URLSearchParams(now);
    if (value === usual || value === '') next.delete(name);
    else next.set(name, value);
    // Another filter has other pages.
    if (name !== 'offset') next.delete('offset');
    const link = linkTo([page, ...parts], Object.fromEntries(next));
    // Typing into a filter fills no history.
    history.replaceState(null, '', link);
    dispatchEvent(new HashChangeEvent('hashchange'));
  };
  return [query.get(name) ?? usual, set];
}

/** The page of an entity's key, such as `account:a1`. */
export const entityLink = (key: string): string =>
  linkTo(['entities'], { entity: key.slice(0, key.indexOf(':')), id: key.slice(key.indexOf(':') + 1) });
