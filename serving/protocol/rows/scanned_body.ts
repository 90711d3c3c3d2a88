import type { RowValues } from '#registry/packages/model_package';
import type { AskedRow, AskedRows } from '../../inference/answered_rows.ts';
import type { ActiveModel } from '../../models/model_slot.ts';
import type { RowScanner } from '../../models/row_scanner.ts';

/** A body whose rows were read straight into the model's input. */
export class ScannedBody {
  readonly active: ActiveModel;
  /** One row that is answered alone, or several. */
  readonly isSingle: boolean;
  /** Undefined: it was not sent. */
  readonly wantsProbabilities: boolean | undefined;
  /** [rows, columns], row-major. */
  readonly input: RowValues;
  /** As the log takes them. */
  readonly rows: AskedRows;

  constructor(parts: Pick<ScannedBody, 'active' | 'isSingle' | 'wantsProbabilities' | 'input' | 'rows'>) {
    this.active = parts.active;
    this.isSingle = parts.isSingle;
    this.wantsProbabilities = parts.wantsProbabilities;
    this.input = parts.input;
    this.rows = parts.rows;
  }
}

/** Rows as they stand in a body. */
class BodyRows implements AskedRows {
  readonly count: number;
  readonly #body: Buffer;
  /** Where each begins and ends. */
  readonly #bounds: readonly number[];

  constructor(body: Buffer, bounds: readonly number[]) {
    this.count = bounds.length / 2;
    this.#body = body;
    this.#bounds = bounds;
  }

  at(index: number): AskedRow {
    const text = this.#body.toString('utf8', this.#bounds[2 * index], this.#bounds[2 * index + 1]);
    return { features: text, entity: undefined };
  }
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const FIRST_ROWS = 64;
/** Keys that are known here, in quotes. */
const KEYS = ['model_name', 'features', 'instances', 'return_probabilities'].map((key) => ({
  key,
  bytes: Buffer.from(JSON.stringify(key)),
}));
const TRUE = Buffer.from('true');
const FALSE = Buffer.from('false');

interface Scanned extends Pick<ScannedBody, 'input' | 'rows' | 'isSingle'> {
  /** Where the body continues. */
  readonly to: number;
}

type ActiveFor = (name: string | undefined) => ActiveModel | undefined;

/**
 * Reads `{"model_name": …, "features": {…}}` or `{"model_name": …, "instances": [{…}, …]}` without making objects of it.
 *
 * @returns undefined for whatever is not like this, or has a mistake: then it is parsed as usual
 */
export function scanBody(body: Buffer, activeFor: ActiveFor, maxRows: number): ScannedBody | undefined {
  let at = skipSpaces(body, 0);
  if (body[at] !== OPEN) return undefined;
  let name: string | undefined;
  let active: ActiveModel | undefined;
  let scanned: Scanned | undefined;
  let wantsProbabilities: boolean | undefined;
  let seen = 0;
  for (;;) {
    at = skipSpaces(body, at + 1);
    const found = KEYS.findIndex(({ bytes }) => isAt(bytes, body, at));
    const known = KEYS[found];
    if (known === undefined || (seen & (1 << found)) !== 0) return undefined;
    const { key, bytes } = known;
    seen |= 1 << found;
    at = skipSpaces(body, at + bytes.length);
    if (body[at] !== COLON) return undefined;
    at = skipSpaces(body, at + 1);
    if (key === 'model_name') {
      const end = nameEnd(body, at);
      if (end === -1) return undefined;
      name = body.toString('latin1', at + 1, end - 1);
      if (active !== undefined && active.name !== name) return undefined;
      at = end;
    } else if (key === 'return_probabilities') {
      wantsProbabilities = isAt(TRUE, body, at);
      if (!wantsProbabilities && !isAt(FALSE, body, at)) return undefined;
      at += wantsProbabilities ? TRUE.length : FALSE.length;
    } else {
      if (scanned !== undefined) return undefined;
      active = activeFor(name);
      if (active?.model.scanner === undefined) return undefined;
      const { scanner, encoder } = active.model;
      scanner.open(body);
      const width = encoder.width;
      scanned =
        key === 'features' ? scanRow(body, at, scanner, width) : scanRows(body, at, scanner, { width, maxRows });
      if (scanned === undefined) return undefined;
      at = scanned.to;
    }
    at = skipSpaces(body, at);
    const next = body[at];
    if (next === CLOSE) break;
    if (next !== COMMA) return undefined;
  }
  if (skipSpaces(body, at + 1) !== body.length || active === undefined || scanned === undefined) return undefined;
  const { input, rows, isSingle } = scanned;
  return new ScannedBody({ active, input, rows, isSingle, wantsProbabilities });
}

function isAt(bytes: Buffer, body: Buffer, at: number): boolean {
  for (let index = 0; index < bytes.length; index += 1) if (body[at + index] !== bytes[index]) return false;
  return true;
}

/** @returns where a text of plain ASCII ends; -1: it is none */
function nameEnd(body: Buffer, from: number): number {
  if (body[from] !== QUOTE) return -1;
  for (let at = from + 1; at < body.length; at += 1) {
    const code = body[at] as number;
    if (code === QUOTE) return at + 1;
    if (code === BACKSLASH || code < 0x20 || code > 0x7e) return -1;
  }
  return -1;
}

/** Space, tab, line feed, carriage return. */
function skipSpaces(body: Buffer, from: number): number {
  let at = from;
  for (; at < body.length; at += 1) {
    const code = body[at];
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break;
  }
  return at;
}

function scanRow(body: Buffer, from: number, scanner: RowScanner, width: number): Scanned | undefined {
  const input = new Float32Array(width);
  const to = scanner.scan(from, input, 0);
  if (to === -1) return undefined;
  return { input, rows: new BodyRows(body, [from, to]), isSingle: true, to };
}

function scanRows(
  body: Buffer,
  from: number,
  scanner: RowScanner,
  { width, maxRows }: { readonly width: number; readonly maxRows: number },
): Scanned | undefined {
  if (body[from] !== OPEN_LIST) return undefined;
  let input = new Float32Array(FIRST_ROWS * width);
  const bounds: number[] = [];
  let rows = 0;
  let at = skipSpaces(body, from + 1);
  for (;;) {
    if (rows === maxRows) return undefined;
    if ((rows + 1) * width > input.length) {
      const larger = new Float32Array(input.length * 2);
      larger.set(input);
      input = larger;
    }
    const to = scanner.scan(at, input, rows * width);
    if (to === -1) return undefined;
    bounds.push(at, to);
    rows += 1;
    at = skipSpaces(body, to);
    const next = body[at];
    if (next === CLOSE_LIST) break;
    if (next !== COMMA) return undefined;
    at = skipSpaces(body, at + 1);
  }
  return {
    ...{ input: input.subarray(0, rows * width), rows: new BodyRows(body, bounds) },
    ...{ isSingle: false, to: at + 1 },
  };
}
