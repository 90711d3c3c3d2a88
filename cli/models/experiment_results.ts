import Table from 'cli-table3';
import type { ExperimentResults } from '#serving/experiments/results';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print } from '../terminal/print.ts';

export interface ResultsQuery {
  readonly url: string;
  readonly experiment?: string;
  readonly outcome?: string;
  readonly apiKey?: string;
  readonly json: boolean;
}

const number = (value: number | undefined): string => (value === undefined ? '' : value.toPrecision(4));
const range = (interval: readonly [number, number] | undefined): string =>
  interval === undefined ? '' : `${number(interval[0])} to ${number(interval[1])}`;

/** `headwater models results`: what the variants of an experiment come to, asked of a running platform. */
export async function showResults(
  name: string,
  { url, experiment, outcome, apiKey, json }: ResultsQuery,
): Promise<void> {
  const query = new URLSearchParams({
    ...(experiment === undefined ? {} : { experiment }),
    ...(outcome === undefined ? {} : { outcome }),
  });
  const where = `${url.replace(/\/$/, '')}/models/${encodeURIComponent(name)}/results?${query}`;
  const headers = apiKey === undefined ? {} : { 'x-api-key': apiKey };
  const answer = await fetch(where, { headers, signal: AbortSignal.timeout(30_000) }).catch((error: unknown) => {
    throw new CommandFailedError(
      `no platform answers at ${url}: start one, or name another with --url (${String(error)})`,
    );
  });
  const body = (await answer.json()) as ExperimentResults | { readonly error: { readonly message: string } };
  if ('error' in body) throw new CommandFailedError(body.error.message);
  if (json) return print(JSON.stringify(body));
  const head = [
    'variant',
    'entities',
    'predictions',
    'outcomes',
    'mean',
    'difference',
    '95 %, looked at once',
    'p',
    '95 %, at any time',
    'p',
  ];
  const table = new Table({ head, style: { head: [], border: [] } });
  for (const { variant, entities, predictions, outcomes, mean, comparison } of body.variants) {
    table.push([
      ...[variant, entities, predictions, outcomes, number(mean), number(comparison?.difference)],
      ...[range(comparison?.interval), number(comparison?.pValue)],
      ...[range(comparison?.sequential.interval), number(comparison?.sequential.pValue)],
    ]);
  }
  print(table.toString());
  print(body.winner === undefined ? 'no winner yet' : `winner: ${body.winner}`);
  if (body.sampleRatio?.mismatch === true) {
    print(
      `entities were not assigned as configured (p = ${number(body.sampleRatio.pValue)}): look for the reason before the results`,
    );
  }
}
