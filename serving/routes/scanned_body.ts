import type { AskedRow, AskedRows } from '../runtime/answered_rows.ts';
import type { ActiveModel } from '../runtime/model_slot.ts';

/** A body whose rows were read straight into the model's input. */
export class ScannedBody {
  readonly active: ActiveModel;
  /** One row that is answered alone, or several. */
  readonly isSingle: boolean;
  readonly wantsProbabilities: boolean;
  /** FP32 [rows, columns], row-major. */
  readonly input: Float32Array;
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

const COMMA = 0x2c;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const FIRST_ROWS = 64;
/** A key with its colon, `"instances" :`, and a name; without escapes, in ASCII, no longer than what is looked at. */
const KEY = /^"([a-z_]+)"[ \t\r\n]*:[ \t\r\n]*/;
const NAME = /^"([^"\\\x80-\xff]*)"/;
const TRUTH = /^(true|false)/;
const LOOKED_AT = 256;

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
  let scanned: Pick<ScannedBody, 'input' | 'rows' | 'isSingle'> | undefined;
  let wantsProbabilities = false;
  const seen = new Set<string>();
  for (;;) {
    at = skipSpaces(body, at + 1);
    const key = matchAt(KEY, body, at);
    if (key === undefined || seen.has(key.found)) return undefined;
    seen.add(key.found);
    at = key.to;
    if (key.found === 'model_name') {
      const given = matchAt(NAME, body, at);
      if (given === undefined || (active !== undefined && active.name !== given.found)) return undefined;
      name = given.found;
      at = given.to;
    } else if (key.found === 'return_probabilities') {
      const truth = matchAt(TRUTH, body, at);
      if (truth === undefined) return undefined;
      wantsProbabilities = truth.found === 'true';
      at = truth.to;
    } else if ((key.found === 'features' || key.found === 'instances') && scanned === undefined) {
      active = activeFor(name);
      if (active === undefined) return undefined;
      active.model.scanner.open(body);
      const found = key.found === 'features' ? scanRow(body, at, active) : scanRows(body, at, active, maxRows);
      if (found === undefined) return undefined;
      at = found.to;
      scanned = found;
    } else return undefined;
    at = skipSpaces(body, at);
    const next = body[at];
    if (next === CLOSE) break;
    if (next !== COMMA) return undefined;
  }
  if (skipSpaces(body, at + 1) !== body.length || active === undefined || scanned === undefined) return undefined;
  const { input, rows, isSingle } = scanned;
  return new ScannedBody({ active, input, rows, isSingle, wantsProbabilities });
}

/** @param pattern - with the beginning of the text. @returns its group, and where it ends; undefined when it is not there */
function matchAt(pattern: RegExp, body: Buffer, at: number) {
  const match = pattern.exec(body.toString('latin1', at, Math.min(at + LOOKED_AT, body.length)));
  return match === null ? undefined : { found: match[1] as string, to: at + match[0].length };
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

function scanRow(body: Buffer, from: number, { model }: ActiveModel) {
  const input = new Float32Array(model.encoder.width);
  const to = model.scanner.scan(from, input, 0);
  if (to === -1) return undefined;
  return { input, rows: new BodyRows(body, [from, to]), isSingle: true, to };
}

function scanRows(body: Buffer, from: number, { model }: ActiveModel, maxRows: number) {
  const { width } = model.encoder;
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
    const to = model.scanner.scan(at, input, rows * width);
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
