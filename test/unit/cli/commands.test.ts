import { readFileSync } from 'node:fs';
import { CommanderError, type CommandUnknownOpts, InvalidArgumentError, Option } from '@commander-js/extra-typings';
import { describe, expect, test } from '@jest/globals';
import { createProgram } from '#cli/commands/program';
import { CommandFailedError } from '#cli/terminal/command_failed_error';
import { describeError, exitCodeOf } from '#cli/terminal/run_program';
import { UsageError } from '#cli/terminal/usage_error';
import { assetPath } from '#kernel/project_root';

const allBelow = (command: CommandUnknownOpts): readonly CommandUnknownOpts[] => [
  command,
  ...command.commands.flatMap(allBelow),
];
const nameOf = (command: CommandUnknownOpts): string =>
  command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command line of a program of its own, in this process: of those that end before an action. */
async function outcomeOf(...args: readonly string[]): Promise<Outcome> {
  const program = createProgram();
  const written = { out: '', err: '' };
  for (const command of allBelow(program)) {
    command.configureOutput({
      writeOut: (text) => {
        written.out += text;
      },
      writeErr: (text) => {
        written.err += text;
      },
    });
  }
  const error: unknown = await program.parseAsync([...args], { from: 'user' }).catch((thrown: unknown) => thrown);
  if (!(error instanceof CommanderError)) throw new Error(`${args.join(' ')} has run`);
  return { code: exitCodeOf(error), ...written };
}

const COMMANDS = allBelow(createProgram());
const LEAVES = COMMANDS.filter(({ commands }) => commands.length === 0);
const pathOf = (command: CommandUnknownOpts): readonly string[] => nameOf(command).split(' ').slice(1);
/** Returns arguments and options that the command requires, and all arguments that it takes. */
const valid = (command: CommandUnknownOpts): readonly string[] => [
  ...command.registeredArguments.map(({ argChoices }) => argChoices?.[0] ?? '1'),
  ...command.options
    .filter(({ mandatory }) => mandatory)
    .flatMap((option) => [String(option.long), isDate(option) ? '2024-12-20' : '1']),
];
const isDuration = (of: object): boolean =>
  'parseArg' in of && 'flags' in of && of.parseArg !== undefined && String(of.flags).endsWith('<duration>');
const isDate = (of: object): boolean => 'flags' in of && String(of.flags).endsWith('<date>');
const each = (commands: readonly CommandUnknownOpts[]) =>
  commands.map((command) => [nameOf(command), command] as const);

describe('help', () => {
  test.each(each(COMMANDS))('of %s is printed and has every argument and option', async (_, command) => {
    const { code, out, err } = await outcomeOf(...pathOf(command), '--help');
    expect([code, err]).toEqual([0, '']);
    for (const { flags } of command.options) expect(out).toContain(flags);
    for (const argument of command.registeredArguments) expect(out).toContain(argument.name());
    for (const below of command.commands) expect(out).toContain(below.name());
  });

  test('describes every command, argument and option, in plain words', () => {
    const described = COMMANDS.flatMap((command) => [
      [nameOf(command), command.description()],
      ...command.options.map(({ flags, description }) => [`${nameOf(command)} ${flags}`, description]),
      ...command.registeredArguments.map((argument) => [`${nameOf(command)} ${argument.name()}`, argument.description]),
    ]) as readonly (readonly [string, string])[];
    expect(described.length).toBeGreaterThan(200);
    const odd =
      /\b(doors?|tells?|told|asked|wanted|whoever|nobody|somebody|goes on|go on|reckon\w*|dealt|texts|say|says|what there is|let go|ordeal|suffer\w*)\b/i;
    expect(described.filter(([, text]) => text === '' || odd.test(text))).toEqual([]);
    expect(LEAVES.map((command) => command.description()).filter((text) => !/^[A-Z][\s\S]*[^.]$/.test(text))).toEqual(
      [],
    );
  });
});

describe('a command line that is not valid', () => {
  // Options of a script are its own.
  test.each(each(COMMANDS).filter(([name]) => name !== 'headwater scripts run'))(
    '%s refuses an option that it does not have, with 2',
    async (_, command) => {
      const { code, out, err } = await outcomeOf(...pathOf(command), ...valid(command), '--no-such-option');
      expect([code, out, err]).toEqual([2, '', expect.stringContaining("unknown option '--no-such-option'")]);
    },
  );

  test.each(each(LEAVES).filter(([, { registeredArguments }]) => registeredArguments.at(-1)?.variadic !== true))(
    '%s refuses one argument too many, with 2',
    async (_, command) => {
      const { code, err } = await outcomeOf(...pathOf(command), ...valid(command), ...['--', '1']);
      expect([code, err]).toEqual([2, expect.stringMatching(/too many arguments/)]);
    },
  );

  test('values that are no numbers, dates or durations are refused wherever one is expected', () => {
    const numeric = COMMANDS.flatMap((command) =>
      [...command.options, ...command.registeredArguments].map((of) => [nameOf(command), of] as const),
    ).filter(
      ([, { parseArg, argChoices, variadic, defaultValue }]) =>
        parseArg !== undefined && argChoices === undefined && !variadic && !Array.isArray(defaultValue),
    );
    expect(numeric.length).toBeGreaterThan(30);
    for (const [, of] of numeric) {
      for (const value of ['', ' ', 'abc', '-1', '1e999', 'NaN', 'Infinity', '0x10', '1,5', '1 2']) {
        expect(() => of.parseArg?.(value, undefined as never)).toThrow(InvalidArgumentError);
      }
      const [good, parsed] = isDate(of) ? ['2024-12-20', '2024-12-20'] : isDuration(of) ? ['30m', '30m'] : ['1', 1];
      expect(of.parseArg?.(good, undefined as never)).toBe(parsed);
    }
  });

  test.each([
    [['featres'], /Did you mean features\?/],
    [['models', 'lst'], /Did you mean list\?/],
    [['features', 'list', '--jsn'], /Did you mean --json\?/],
    [['models', 'promote', 'm', '1', '--stage', 'Prod'], /Allowed choices are Staging, Production/],
    [['training-sets', 'create'], /required option '--out <folder>' not specified/],
    [['start', '--role', 'nonsense'], /nonsense is not a role\. Roles are gateway/],
    [['models', 'diff', 'm', '1'], /missing required argument 'to'/],
    [[], /^Usage: headwater/],
    [['models'], /^Usage: headwater models/],
  ] as const)('%j', async (args, message) => {
    expect(await outcomeOf(...args)).toEqual({ code: 2, out: '', err: expect.stringMatching(message) });
  });
});

test('--version is that of the package', async () => {
  const { version } = JSON.parse(readFileSync(assetPath('package.json'), 'utf8')) as { version: string };
  expect(await outcomeOf('--version')).toEqual({ code: 0, out: `${version}\n`, err: '' });
});

test('no command has an option of all commands', () => {
  const [program, ...others] = COMMANDS;
  const own = new Set(program?.options.flatMap(({ long, short }) => [long, short]));
  const taken = others.flatMap((command) =>
    command.options.filter(({ long, short }) => own.has(long) || (short !== undefined && own.has(short))),
  );
  expect(taken).toEqual([]);
});

test('an error has a message and an exit code; a stack only with --debug', () => {
  const bug = new TypeError('x is not a function', { cause: new Error('the cause') });
  expect([new UsageError('a'), new CommandFailedError('b'), bug, 'text'].map(exitCodeOf)).toEqual([2, 1, 1, 1]);
  expect(describeError(new CommandFailedError('no file'), false)).toBe('no file');
  expect(describeError(bug, false)).toBe(
    'x is not a function\nRun the command again with --debug for the stack trace.',
  );
  expect(describeError(bug, true)).toMatch(/x is not a function\n\s+at .*commands\.test[\s\S]*the cause/);
  expect(describeError(new CommandFailedError('no file'), true)).toMatch(/no file\n\s+at /);
});

test('a default that says nothing is not shown', () => {
  const shown = (option: Option) => createProgram().createHelp().optionDescription(option);
  expect([
    shown(new Option('--json', 'print JSON').default(false)),
    shown(new Option('--view <view>', 'a view').default([])),
    shown(new Option('--limit <n>', 'number').default(5)),
  ]).toEqual(['print JSON', 'a view', 'number (default: 5)']);
});

test('every command that lists prints JSON as well', () => {
  const lists = LEAVES.filter((command) => /^List /.test(command.description()) || command.name() === 'list');
  expect(lists.length).toBeGreaterThan(8);
  const without = lists.filter(({ options }) => !options.some(({ long }) => long === '--json'));
  expect(without.map(nameOf)).toEqual([]);
});

test('commands are verbs of a noun, but for those of the whole project or platform', () => {
  const verbs = [
    'init',
    'dev',
    'test',
    'start',
    'check',
    'plan',
    'apply',
    'completion',
    'complete',
    'restore',
    'drill',
  ];
  const own = createProgram().commands.filter(({ commands }) => commands.length === 0);
  expect(own.map((command) => command.name()).sort()).toEqual(verbs.sort());
});

test.each([
  [['init', 'shop', '--template', 'frod'], /Allowed choices are .*fraud.*\. Did you mean "fraud"\?\n/],
  [['init', 'shop', '--template', 'xyzzy'], /Allowed choices are [^?]*\.\n/],
])('a value that is none of the choices is refused with the nearest one: %j', async (args, message) => {
  const { code, err } = await outcomeOf(...args);
  expect(code).toBe(2);
  expect(err).toMatch(message);
});
