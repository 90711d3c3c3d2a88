import type { ActiveModel } from '../runtime/model_slot.ts';
import type { LoggedRow } from '../runtime/predictor.ts';
import { skipSpaces } from '../runtime/row_scanner.ts';

/** A body whose rows were read straight into the model's input. */
export class ScannedBody {
  readonly active: ActiveModel;
  /** One row that is answered alone, or several. */
  readonly isSingle: boolean;
  readonly wantsProbabilities: boolean;
  /** FP32 [rows, columns], row-major. */
  readonly input: Float32Array;
  /** As the log takes them. */
  readonly rows: readonly LoggedRow[];

  constructor(parts: Pick<ScannedBody, 'active' | 'isSingle' | 'wantsProbabilities' | 'input' | 'rows'>) {
    this.active = parts.active;
    this.isSingle = parts.isSingle;
    this.wantsProbabilities = parts.wantsProbabilities;
    this.input = parts.input;
    this.rows = parts.rows;
  }
}

const COMMA = 0x2c;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const FIRST_ROWS = 64;
/** A name without escapes, with its colon: `"instances" :` */
const KEY = /"([a-z_]+)"[ \t\r\n]*:[ \t\r\n]*/y;
const NAME = /"([^"\\]*)"/y;
const TRUTH = /true|false/y;

type ActiveFor = (name: string | undefined) => ActiveModel | undefined;

/**
 * Reads `{"model_name": …, "features": {…}}` or `{"model_name": …, "instances": [{…}, …]}` without making objects of it.
 *
 * @returns undefined for whatever is not like this, or has a mistake: then it is parsed as usual
 */
export function scanBody(text: string, activeFor: ActiveFor, maxRows: number): ScannedBody | undefined {
  let at = skipSpaces(text, 0);
  if (text.charCodeAt(at) !== OPEN) return undefined;
  let name: string | undefined;
  let active: ActiveModel | undefined;
  let scanned: Pick<ScannedBody, 'input' | 'rows' | 'isSingle'> | undefined;
  let wantsProbabilities = false;
  const seen = new Set<string>();
  for (;;) {
    at = skipSpaces(text, at + 1);
    const key = matchAt(KEY, text, at);
    if (key === undefined || seen.has(key)) return undefined;
    seen.add(key);
    at = KEY.lastIndex;
    if (key === 'model_name') {
      name = matchAt(NAME, text, at);
      if (name === undefined || (active !== undefined && active.name !== name)) return undefined;
      at = NAME.lastIndex;
    } else if (key === 'return_probabilities') {
      const truth = matchAt(TRUTH, text, at);
      if (truth === undefined) return undefined;
      wantsProbabilities = truth === 'true';
      at = TRUTH.lastIndex;
    } else if ((key === 'features' || key === 'instances') && scanned === undefined) {
      active = activeFor(name);
      if (active === undefined) return undefined;
      const found = key === 'features' ? scanRow(text, at, active) : scanRows(text, at, active, maxRows);
      if (found === undefined) return undefined;
      at = found.to;
      scanned = found;
    } else return undefined;
    at = skipSpaces(text, at);
    const next = text.charCodeAt(at);
    if (next === CLOSE) break;
    if (next !== COMMA) return undefined;
  }
  if (skipSpaces(text, at + 1) !== text.length || active === undefined || scanned === undefined) return undefined;
  const { input, rows, isSingle } = scanned;
  return new ScannedBody({ active, input, rows, isSingle, wantsProbabilities });
}

/** @param pattern - sticky. @returns its group, or all of it; undefined when it is not there */
function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  const found = pattern.exec(text);
  return found === null ? undefined : (found[1] ?? found[0]);
}

function scanRow(text: string, from: number, { model }: ActiveModel) {
  const input = new Float32Array(model.encoder.width);
  const to = model.scanner.scan(text, from, input, 0);
  if (to === -1) return undefined;
  return { input, rows: [{ features: text.slice(from, to), entity: undefined }], isSingle: true, to };
}

function scanRows(text: string, from: number, { model }: ActiveModel, maxRows: number) {
  const { width } = model.encoder;
  if (text.charCodeAt(from) !== OPEN_LIST) return undefined;
  let input = new Float32Array(FIRST_ROWS * width);
  const rows: LoggedRow[] = [];
  let at = skipSpaces(text, from + 1);
  for (;;) {
    if (rows.length === maxRows) return undefined;
    if ((rows.length + 1) * width > input.length) {
      const larger = new Float32Array(input.length * 2);
      larger.set(input);
      input = larger;
    }
    const to = model.scanner.scan(text, at, input, rows.length * width);
    if (to === -1) return undefined;
    rows.push({ features: text.slice(at, to), entity: undefined });
    at = skipSpaces(text, to);
    const next = text.charCodeAt(at);
    if (next === CLOSE_LIST) break;
    if (next !== COMMA) return undefined;
    at = skipSpaces(text, at + 1);
  }
  return { input: input.subarray(0, rows.length * width), rows, isSingle: false, to: at + 1 };
}
