/**
 * Returns a value as text, whatever a client has sent: `String` runs the value's own `toString`, and throws for `{"toString": 1}`. Objects and arrays are as
 * JSON.
 */
export const textOf = (value: unknown): string =>
  typeof value === 'object' && value !== null ? (JSON.stringify(value) ?? '') : String(value);
