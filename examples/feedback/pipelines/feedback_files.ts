import { createReadStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import {
  type CombineFn,
  type Construct,
  combinePerKey,
  create,
  type DoFn,
  type KV,
  keyBy,
  parDo,
  parDoWithDeadLetters,
  toList,
} from 'headwater/pipelines';
import { z } from 'zod';
import { LONGEST_TEXT } from '../insights/contract.ts';
import { type EventInsights, eventInsights } from '../insights/event_insights.ts';

const lineSchema = z.object({
  customer_id: z.string().min(1),
  text: z.string().trim().min(1).max(LONGEST_TEXT).transform(eventInsights),
});

/** What a customer's comments in a file say together. */
export interface CustomerSummary {
  readonly comments: number;
  readonly score: number;
  readonly adverse: number;
  readonly concerns: Readonly<Record<string, number>>;
}

const summing: CombineFn<EventInsights, CustomerSummary, CustomerSummary> = {
  createAccumulator: () => ({ comments: 0, score: 0, adverse: 0, concerns: {} }),
  addInput: ({ comments, score, adverse, concerns }, each) => ({
    comments: comments + 1,
    score: score + each.score,
    adverse: adverse + Number(each.isAdverse),
    concerns: each.concern === null ? concerns : { ...concerns, [each.concern]: (concerns[each.concern] ?? 0) + 1 },
  }),
  mergeAccumulators: (all) =>
    [...all].reduce((a, b) => ({
      comments: a.comments + b.comments,
      score: a.score + b.score,
      adverse: a.adverse + b.adverse,
      concerns: Object.fromEntries(
        [...new Set([...Object.keys(a.concerns), ...Object.keys(b.concerns)])].map((name) => [
          name,
          (a.concerns[name] ?? 0) + (b.concerns[name] ?? 0),
        ]),
      ),
    })),
  extractOutput: (sum) => ({ ...sum, score: sum.comments === 0 ? 0 : sum.score / sum.comments }),
};

/** Writes a list as a file of JSON lines. */
const writeLines = (out: string, name: string): DoFn<readonly unknown[], never> => ({
  async process(items) {
    await mkdir(out, { recursive: true });
    await writeFile(join(out, name), items.map((item) => `${JSON.stringify(item)}\n`).join(''));
  },
});

/**
 * `headwater pipelines run feedback_files --option files=a.jsonl,b.jsonl --option out=./insights`: the batch form. Reads lines `{"customer_id", "text"}` and writes
 * `customers.jsonl`, a line a customer, and `dead_letters.jsonl`, the number of each line that cannot be read and why, without its text.
 */
export default function feedbackFiles(options: Readonly<Record<string, string>>): Construct {
  const files = (options.files ?? '').split(',').filter(Boolean);
  const out = options.out ?? './insights';
  if (files.length === 0)
    throw new Error('--option files=… names no file: name files of JSON lines, with commas between them');
  return (root) => {
    const lines = root.apply(create(files)).apply(
      parDo<string, { file: string; number: number; line: string }>(
        {
          async process(file, context) {
            let number = 0;
            for await (const line of createInterface({
              input: createReadStream(file),
              crlfDelay: Number.POSITIVE_INFINITY,
            })) {
              number += 1;
              if (line.trim() !== '') context.output({ file, number, line });
            }
          },
        },
        { name: 'Read lines' },
      ),
    );
    const { main, failed } = lines.apply(
      parDoWithDeadLetters<{ file: string; number: number; line: string }, KV<string, EventInsights>>(
        {
          process({ line }, context) {
            const { customer_id: key, text: value } = lineSchema.parse(JSON.parse(line));
            context.output({ key, value });
          },
        },
        { name: 'Analyse' },
      ),
    );
    main
      .apply(combinePerKey(summing))
      .map(({ key, value }) => ({ customer_id: key, ...value }))
      .apply(keyBy(() => 'all'))
      .apply(combinePerKey(toList()))
      .map(({ value }) => value)
      .apply(parDo(writeLines(out, 'customers.jsonl'), { name: 'Write customers' }));
    failed
      .map(({ element: { file, number } }) => ({
        file,
        number,
        problem: 'is not {"customer_id", "text"} with a text in English, Spanish or French',
      }))
      .apply(keyBy(() => 'all'))
      .apply(combinePerKey(toList()))
      .map(({ value }) => value)
      .apply(parDo(writeLines(out, 'dead_letters.jsonl'), { name: 'Write dead letters' }));
  };
}
