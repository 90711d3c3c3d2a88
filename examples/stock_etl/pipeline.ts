import {
  type Construct,
  type DoFn,
  filter,
  InvalidPipelineError,
  type KV,
  keyBy,
  type ProcessContext,
  parDo,
  readFiles,
  valueState,
  writeFiles,
} from 'headwater/pipelines';
import { indicatorsOf, LONGEST_DAYS } from './indicators.ts';

interface Price {
  readonly symbol: string;
  readonly day: string;
  readonly close: number;
  readonly volume: number;
}

const YEAR_SECONDS = 365 * 86_400;

/**
 * `headwater pipelines run stock_etl/pipeline --option input='prices/*.jsonl' --option output=indicators --threads 8`: reads daily prices, drops those that cannot be, and writes each symbol's indicators over up to 200 days, in
 * files by year. Rows may lie in the files in any order.
 */
export default function stockEtl({ input, output }: Readonly<Record<string, string>>): Construct {
  if (input === undefined || output === undefined) {
    throw new InvalidPipelineError('give the options input=PATTERN and output=FOLDER');
  }
  return (root) => {
    root
      .apply(
        readFiles<Price>({
          patterns: [input],
          decode(read, path) {
            if (!read.ok) throw new InvalidPipelineError(`${path}: a row cannot be read: ${read.reason}`);
            const price = read.row as unknown as Price;
            return { element: price, eventTimeMs: Date.parse(price.day) };
          },
        }),
      )
      .apply(filter(({ close, volume }) => close > 0 && volume >= 0, 'Possible'))
      .apply(keyBy(({ symbol }) => symbol, 'BySymbol'))
      .apply(parDo(new Indicators(), { name: 'Indicators' }))
      .apply(writeFiles({ directory: output, format: 'jsonl', windowSeconds: YEAR_SECONDS }, () => 0));
  };
}

class Indicators implements DoFn<KV<string, Price>, Readonly<Record<string, unknown>>> {
  readonly requiresTimeSortedInput = true;
  /** The newest last. */
  readonly closes = valueState<readonly number[]>('closes');

  process({ value }: KV<string, Price>, context: ProcessContext<Readonly<Record<string, unknown>>>): void {
    const held = context.state(this.closes);
    const closes = [...(held.read() ?? []), value.close].slice(-LONGEST_DAYS);
    held.write(closes);
    context.output({ symbol: value.symbol, day: value.day, ...indicatorsOf(closes) });
  }
}
