import { useEffect, useState } from 'preact/hooks';

/** A value that several parts of the page show. */
export interface Signal<T> {
  value(): T;
  set(value: T): void;
  use(): T;
}

export function signal<T>(first: T): Signal<T> {
  let value = first;
  const listeners = new Set<(value: T) => void>();
  return {
    value: () => value,
    set(next) {
      value = next;
      for (const listener of listeners) listener(next);
    },
    use() {
      const [shown, setShown] = useState(value);
      useEffect(() => {
        setShown(value);
        listeners.add(setShown as (next: T) => void);
        return () => void listeners.delete(setShown as (next: T) => void);
      }, []);
      return shown;
    },
  };
}
