import { fileURLToPath } from 'node:url';
import { parseExactJsonBytes } from '#kernel/exact/exact_json';
import type { JsonObject } from '#kernel/json';
import { byteLines } from '#kernel/text/byte_lines';
import { EdgeModel } from './edge_model.ts';

// predict.mjs of a bundle: rows as JSON, as arguments or one a line; an answer a line.

export { EdgeModel } from './edge_model.ts';

const MODEL_FOLDER = fileURLToPath(new URL('./model', import.meta.url));

/** The model of the bundle that this file is in. */
export const openModel = (): Promise<EdgeModel> => EdgeModel.open(MODEL_FOLDER);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const model = await openModel();
  const given = process.argv.slice(2);
  const lines = given.length > 0 ? [given.map((row) => Buffer.from(row))] : byteLines(process.stdin);
  for await (const some of lines) for (const line of some) if (!isBlank(line)) await answer(model, line);
  await model.close();
}

function isBlank(line: Buffer): boolean {
  return line.toString('latin1').trim() === '';
}

async function answer(model: EdgeModel, line: Buffer): Promise<void> {
  try {
    const [predicted] = await model.predict([parseExactJsonBytes(line) as JsonObject]);
    process.stdout.write(`${JSON.stringify(predicted)}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ error: (error as Error).message })}\n`);
    process.exitCode = 1;
  }
}
