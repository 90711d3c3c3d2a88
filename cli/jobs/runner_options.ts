import type { EnvironmentProto } from '#pipelines/model/graph';
import { dockerEnvironment, externalEnvironment, processEnvironment } from '#pipelines/runner/portable/environment';
import type { OptionValue } from '#pipelines/runner/portable/job_client';
import type { Runner } from '../terminal/choices.ts';
import { UsageError } from '../terminal/usage_error.ts';

// Options that commands of pipelines and of jobs have in common.

/** Where runners have their job service when nothing else is given. */
export const DEFAULT_ENDPOINTS: Readonly<Partial<Record<Runner, string>>> = {
  prism: '127.0.0.1:8073',
  flink: '127.0.0.1:8099',
};

/** Returns where workers run; undefined for `loopback`, the process that submits. */
export function environmentOf(environment: string): EnvironmentProto | undefined {
  if (environment === 'loopback') return undefined;
  const [kind, ...rest] = environment.split(':');
  const value = rest.join(':');
  if (kind === 'external' && value !== '') return externalEnvironment(value);
  if (kind === 'docker' && value !== '') return dockerEnvironment(value);
  if (kind === 'process' && value !== '') return processEnvironment(value);
  throw new UsageError(
    `--environment is loopback, external:HOST:PORT, process:COMMAND or docker:IMAGE, not "${environment}"`,
  );
}

/** Parses options that are written NAME=VALUE. */
export function pairsOf(pairs: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at <= 0) throw new UsageError(`an option is written NAME=VALUE, such as input=orders.jsonl, not "${pair}"`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** Parses options of a runner: numbers and booleans as such, since runners look at the type. */
export function runnerOptionsOf(pairs: readonly string[]): Readonly<Record<string, OptionValue>> {
  return Object.fromEntries(
    Object.entries(pairsOf(pairs)).map(([name, value]) => {
      if (value === 'true' || value === 'false') return [name, value === 'true'];
      return [name, value !== '' && Number.isFinite(Number(value)) ? Number(value) : value];
    }),
  );
}
