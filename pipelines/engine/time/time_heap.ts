/** A binary min-heap of values by time. Values of equal time come out in no particular order. */
export class TimeHeap<T> {
  readonly #times: number[] = [];
  readonly #values: T[] = [];

  get size(): number {
    return this.#times.length;
  }

  /** The earliest value's time; undefined when empty. */
  nextAt(): number | undefined {
    return this.#times[0];
  }

  peek(): T | undefined {
    return this.#values[0];
  }

  values(): readonly T[] {
    return this.#values;
  }

  /** Times of {@link values}, in the same order. */
  times(): readonly number[] {
    return this.#times;
  }

  push(time: number, value: T): void {
    const times = this.#times;
    const values = this.#values;
    let index = times.push(time) - 1;
    values.push(value);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if ((times[parent] as number) <= time) break;
      times[index] = times[parent] as number;
      values[index] = values[parent] as T;
      index = parent;
    }
    times[index] = time;
    values[index] = value;
  }

  pop(): T | undefined {
    const times = this.#times;
    const values = this.#values;
    const top = values[0];
    const time = times.pop();
    const value = values.pop() as T;
    const { length } = times;
    if (length === 0 || time === undefined) return top;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= length) break;
      if (child + 1 < length && (times[child + 1] as number) < (times[child] as number)) child += 1;
      if ((times[child] as number) >= time) break;
      times[index] = times[child] as number;
      values[index] = values[child] as T;
      index = child;
    }
    times[index] = time;
    values[index] = value;
    return top;
  }

  clear(): void {
    this.#times.length = 0;
    this.#values.length = 0;
  }
}
