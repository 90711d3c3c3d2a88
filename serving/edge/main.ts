import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { JsonObject } from '#kernel/json';
import { EdgeModel } from './edge_model.ts';

// predict.mjs of a bundle: rows as JSON, as arguments or one a line; an answer a line.

export { EdgeModel } from './edge_model.ts';

const MODEL_FOLDER = fileURLToPath(new URL('./model', import.meta.url));

/** The model of the bundle that this file is in. */
export const openModel = (): Promise<EdgeModel> => EdgeModel.open(MODEL_FOLDER);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const model = await openModel();
  const given = process.argv.slice(2);
  const lines = given.length > 0 ? given : createInterface({ input: process.stdin });
  for await (const line of lines) if (line.trim() !== '') await answer(model, line);
  await model.close();
}

async function answer(model: EdgeModel, line: string): Promise<void> {
  try {
    const [predicted] = await model.predict([JSON.parse(line) as JsonObject]);
    process.stdout.write(`${JSON.stringify(predicted)}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ error: (error as Error).message })}\n`);
    process.exitCode = 1;
  }
}
