/** A line of a command's answer. */
export const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** Writes a JSON array, an element a line, so that a long list is not held in memory; one without elements is `[]`. */
export class JsonArray {
  #count = 0;

  add(value: unknown): void {
    process.stdout.write(`${this.#count === 0 ? '[' : ','}\n${JSON.stringify(value)}`);
    this.#count += 1;
  }

  end(): void {
    print(this.#count === 0 ? '[]' : '\n]');
  }
}

/** Prints values as one JSON array, an element a line; `[]` where there is none. */
export function printJsonArray(values: Iterable<unknown>): void {
  const array = new JsonArray();
  for (const value of values) array.add(value);
  array.end();
}

/** Prints a list: with `json` as a JSON array, else a line for each element, and `empty` on standard error where there is none. */
export function printList<T>(
  items: Iterable<T>,
  { json, line, empty }: { readonly json: boolean; readonly line: (item: T) => string; readonly empty: string },
): void {
  if (json) {
    printJsonArray(items);
    return;
  }
  let count = 0;
  for (const item of items) {
    count += 1;
    print(line(item));
  }
  if (count === 0) process.stderr.write(`${empty}\n`);
}
