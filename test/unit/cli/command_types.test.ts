import { Command, Option } from '@commander-js/extra-typings';
import { expect, test } from '@jest/globals';
import { lazily } from '../../../cli/commands/lazily.ts';
import { integer } from '../../../cli/commands/values.ts';

// `npm run types` proves that a handler of other arguments or options than its command's does not compile.

const seen: unknown[] = [];
const handlers = {
  list: (options: { readonly limit: number; readonly since?: string }): void => void seen.push(options),
  show: (name: string, options: { readonly json: boolean }): void => void seen.push(name, options),
  train: (options: { readonly stage: 'Staging' | 'Production' }): void => void seen.push(options),
  nothing: (): void => void seen.push('nothing'),
};
const load = async () => handlers;
const command = (): Command => new Command('list').exitOverride().configureOutput({ writeErr: () => {} });

test('a handler gets the arguments and options of its command', async () => {
  const run = (built: { parseAsync(args: string[], from: { from: 'user' }): Promise<unknown> }, ...args: string[]) =>
    built.parseAsync(args, { from: 'user' });
  await run(
    command().option('--limit <n>', '', integer(1), 5).option('--since <time>').action(lazily(load, 'list')),
    ...['--since', 'now'],
  );
  await run(command().argument('<name>').option('--json', '', false).action(lazily(load, 'show')), 'a', '--json');
  await run(command().action(lazily(load, 'nothing')));
  expect(seen).toEqual([{ limit: 5, since: 'now' }, 'a', { json: true }, 'nothing']);
});

/** Compiled, never run. */
function mistakes(): void {
  // @ts-expect-error an option is a string, because its parser is missing
  command().option('--limit <n>', '', '5').action(lazily(load, 'list'));
  // @ts-expect-error an option that the handler requires may be absent
  command().option('--limit <n>', '', integer()).action(lazily(load, 'list'));
  // @ts-expect-error the handler requires an option that the command does not have
  command().option('--most <n>', '', integer(), 5).action(lazily(load, 'list'));
  // @ts-expect-error a flag without a default may be absent
  command().argument('<name>').option('--json').action(lazily(load, 'show'));
  // @ts-expect-error the handler requires an argument that the command does not have
  command().option('--json', '', false).action(lazily(load, 'show'));
  // @ts-expect-error the argument is a number
  command().argument('<name>', '', integer()).option('--json', '', false).action(lazily(load, 'show'));
  // @ts-expect-error the argument may be absent
  command().argument('[name]').option('--json', '', false).action(lazily(load, 'show'));
  const stage = new Option('--stage <stage>').choices(['Staging', 'Archived'] as const).default('Staging' as const);
  // @ts-expect-error a choice that the handler does not take
  command().addOption(stage).action(lazily(load, 'train'));
  // @ts-expect-error the module has no such handler
  lazily(load, 'lists');
}
void mistakes;
