import { expect, test } from '@jest/globals';
import { createProgram } from '#cli/commands/program';
import { OLD_NAMES, withNewNames } from '#cli/terminal/old_names';

const renamed = (...args: readonly string[]) => {
  const warnings: string[] = [];
  return { args: withNewNames(args, (line) => warnings.push(line)).join(' '), warnings };
};

test.each([
  [['train', 'churn', '--register'], 'models train churn --register'],
  [['-C', 'train', '--debug', 'train', 'lag'], '-C train --debug models train lag'],
  [['help', 'erase'], 'help entities erase'],
])('%j runs under its new name, with a warning', (args, expected) => {
  expect(renamed(...args)).toEqual({ args: expected, warnings: [expect.stringContaining('the old name is removed')] });
});

test.each([['models', 'train'], ['--version'], [], ['-C'], ['constructor'], ['workflows', 'run', 'train']])(
  '%j stays as it is',
  (...args) => {
    expect(renamed(...args)).toEqual({ args: args.join(' '), warnings: [] });
  },
);

test('new names exist, and no old name is a command', () => {
  const names = createProgram().commands.map((command) => command.name());
  for (const [old, [noun, verb]] of Object.entries(OLD_NAMES)) {
    expect(names).not.toContain(old);
    const group = createProgram().commands.find((command) => command.name() === noun);
    expect(group?.commands.map((command) => command.name())).toContain(verb);
  }
});
