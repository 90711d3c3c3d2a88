import type { Readable } from 'node:stream';
import { PlatformError } from '#kernel/errors';
import { decodeUtf8, parseExactJson } from '#kernel/exact/exact_json';
import { failureOf } from '#monitoring/http/error_answer';
import type { RowValues } from '#registry/packages/model_package';
import { InvalidRequestError, OutputNotFiniteError } from '../../errors.ts';
import { type AnswerIds, type AskedRow, listOf } from '../../inference/answered_rows.ts';
import { firstNotFinite, type Predictor } from '../../inference/predictor.ts';
import type { Call } from '../../models/call.ts';
import type { ActiveModel } from '../../models/model_slot.ts';
import { isObject } from '../requests.ts';
import { byteLines } from './byte_lines.ts';

/** Rows that are computed, and answered, together. */
const LINES_AT_ONCE = 256;
const NO_CALL: Call = { deadlineMs: undefined, timing: undefined };

export interface LineSettings {
  readonly ids: AnswerIds;
  readonly wantsProbabilities: boolean;
  /** Longer lines are refused, each for itself. */
  readonly maxLineBytes: number;
}

interface Line {
  readonly number: number;
  readonly row: AskedRow;
  /** [columns]. */
  readonly input: RowValues;
  /** The answer of one that cannot be scored. */
  readonly refused?: string;
}

/**
 * Scores rows as they come, one JSON object a line, and answers a line for each, in their order: `{"prediction": …}`, or `{"line": 3, "error": {…}}` for
 * one that cannot be scored; the others continue. Reads no faster than the answers are taken.
 */
export async function* scoreLines(
  predictor: Predictor,
  active: ActiveModel,
  body: Readable,
  settings: LineSettings,
): AsyncGenerator<string> {
  let waiting: Line[] = [];
  let number = 0;
  const flush = async (): Promise<string> => {
    const lines = waiting;
    waiting = [];
    return scoreSome(predictor, active, lines, settings);
  };
  for await (const line of byteLines(body, settings.maxLineBytes)) {
    number += 1;
    if (line !== undefined && isBlank(line)) continue;
    waiting.push(read(predictor, active, line, { number, maxLineBytes: settings.maxLineBytes }));
    if (waiting.length === LINES_AT_ONCE) yield await flush();
  }
  if (waiting.length > 0) yield await flush();
}

const isBlank = (line: Buffer): boolean => line.every((code) => code === 0x20 || code === 0x0d || code === 0x09);

function read(
  predictor: Predictor,
  active: ActiveModel,
  bytes: Buffer | undefined,
  { number, maxLineBytes }: { readonly number: number; readonly maxLineBytes: number },
): Line {
  const { encoder, scanner } = active.model;
  const input = encoder.allocate(1);
  const row = { features: {}, entity: undefined };
  try {
    if (bytes === undefined) throw new InvalidRequestError(`it is longer than ${maxLineBytes} bytes`);
    const text = decodeUtf8(bytes);
    scanner?.open(bytes);
    if (scanner?.scan(0, input as Float32Array, 0) === bytes.length)
      return { number, input, row: { features: text, entity: undefined } };
    const features: unknown = parseExactJson(text);
    if (!isObject(features)) {
      throw new InvalidRequestError('each line must be a JSON object with the features of a row');
    }
    return { number, input: predictor.encode(active, [{ ...row, features }], () => ''), row: { ...row, features } };
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error;
    const { code, message, fields } = failureOf(error);
    return { number, input, row, refused: JSON.stringify({ line: number, error: { code, message, fields } }) };
  }
}

async function scoreSome(
  predictor: Predictor,
  active: ActiveModel,
  lines: readonly Line[],
  { ids, wantsProbabilities }: LineSettings,
): Promise<string> {
  const good = lines.filter(({ refused }) => refused === undefined);
  const { encoder } = active.model;
  const { width } = encoder;
  const input = encoder.allocate(good.length);
  for (const [at, line] of good.entries()) input.set(line.input, at * width);
  const answers = new Map<number, string>();
  if (good.length > 0) {
    const inferred = await predictor.infer(active, input, good.length, NO_CALL);
    const rows = listOf(good.map(({ row }) => row));
    const indices = good.map(({ number }) => number - 1);
    const predicted = predictor.finish(inferred, ids, rows, indices).all();
    const areFinite = firstNotFinite(inferred.by, inferred.output, good.length) === undefined;
    for (const [at, { prediction, outputs }] of predicted.entries()) {
      const { outputWidth } = inferred.by.model;
      const own = areFinite ? undefined : inferred.output.subarray(at * outputWidth, (at + 1) * outputWidth);
      if (own !== undefined && firstNotFinite(inferred.by, own, 1) !== undefined) {
        const { code, message } = new OutputNotFiniteError(
          active.name,
          indices[at] as number,
          own.find((value) => !Number.isFinite(value)) as number,
        );
        answers.set(
          indices[at] as number,
          JSON.stringify({ line: (indices[at] as number) + 1, error: { code, message } }),
        );
        continue;
      }
      const answer = wantsProbabilities && outputs !== undefined ? { prediction, outputs } : { prediction };
      answers.set(indices[at] as number, JSON.stringify(answer));
    }
  }
  return lines.map(({ number, refused }) => `${refused ?? answers.get(number - 1)}\n`).join('');
}
