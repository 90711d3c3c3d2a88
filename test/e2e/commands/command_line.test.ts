import { execFile, spawn } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath, projectRoot } from '#kernel/project_root';
import { commandEnvironment, runCommand } from '../../support/platforms/command_line.ts';
import { temporaryFolder } from '../../support/servers/disk_folder.ts';

// What holds for every command, with real processes: exit codes, output that is not read, --project, --debug, colours.

let folder: string;
const PROGRAM = assetPath('dist/cli/headwater.js');
const STACK = /^\s+at .+:\d+:\d+\)?$/m;

beforeAll(() => {
  folder = temporaryFolder('command-line');
  mkdirSync(join(folder, 'empty'), { recursive: true });
  mkdirSync(join(folder, 'broken'));
  writeFileSync(join(folder, 'broken', 'headwater.config.ts'), "throw new TypeError('the project is broken');\n");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a line of bash with the program as $HEADWATER, and returns the exit code of the program in a pipe. */
async function inPipe(line: string, env: Readonly<Record<string, string>> = {}) {
  const { stdout, stderr } = await promisify(execFile)('bash', ['-c', `${line}; echo "\${PIPESTATUS[0]}"`], {
    cwd: folder,
    env: { ...commandEnvironment(folder, env), HEADWATER: `${process.execPath} ${PROGRAM}` },
  });
  return { code: Number(stdout.trim().split('\n').at(-1)), stdout, stderr };
}

test('exit codes: 0 success, 1 failure, 2 a command line that is not valid', async () => {
  const codes = async (...args: readonly string[]) => (await runCommand(folder, args)).code;
  expect([
    await codes('--version'),
    await codes('features', 'show', 'fraud@1'),
    await codes('features', 'show', 'none@1'),
    await codes('features', 'show'),
    await codes('features', 'stats', '--from', 'yesterday'),
  ]).toEqual([0, 0, 1, 2, 2]);
}, 300_000);

test('output that is not read ends a command quietly, and lets one that runs drain', async () => {
  expect(await inPipe('$HEADWATER features list | head -1')).toMatchObject({ code: 0, stderr: '' });
  expect(await inPipe('$HEADWATER features list | true')).toMatchObject({ code: 0, stderr: '' });
  expect(await inPipe('$HEADWATER --help | true')).toMatchObject({ code: 0, stderr: '' });
  expect((await inPipe('$HEADWATER features none 2>&1 >/dev/null | true')).stderr).toBe('');
  const served = await inPipe('$HEADWATER start --role gateway | true', {
    ...{ GATEWAY_PORT: '0', LOG_LEVEL: 'info' },
  });
  expect(served).toMatchObject({ code: 0, stderr: expect.stringContaining('"msg":"platform.stopped"') });
  expect(served.stderr).not.toMatch(/EPIPE/);
}, 300_000);

test('completion: bash suggests commands, options and their values', async () => {
  const suggested = async (words: string): Promise<string> => {
    const typed = words.split(' ');
    const line = [
      'eval "$($HEADWATER completion bash)"',
      `headwater() { $HEADWATER "$@"; }`,
      // Of the package bash-completion.
      // biome-ignore lint/suspicious/noTemplateCurlyInString: variables of bash
      '_get_comp_words_by_ref() { cur=${COMP_WORDS[COMP_CWORD]}; prev=; words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; }',
      `COMP_WORDS=(${typed.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${typed.length - 1}; COMP_LINE='${words}'; COMP_POINT=${words.length}`,
      // biome-ignore lint/suspicious/noTemplateCurlyInString: variables of bash
      '__headwater_complete; printf "%s\\n" "${COMPREPLY[@]}"',
    ].join('\n');
    return (await inPipe(line)).stdout;
  };
  expect(await suggested('headwater mod')).toMatch(/^models/m);
  expect(await suggested('headwater models pro')).toMatch(/^promote/m);
  expect(await suggested('headwater models promote m 1 --sta')).toMatch(/^--stage/m);
  for (const shell of ['zsh', 'fish', 'powershell'])
    expect(await runCommand(folder, ['completion', shell])).toMatchObject({ code: 0, stderr: '' });
}, 300_000);

test('an old name of a command runs, with a warning on standard error', async () => {
  const [old, now] = [
    await runCommand(folder, ['lag', '--json']),
    await runCommand(folder, ['pipelines', 'lag', '--json']),
  ];
  expect(old).toMatchObject({ code: now.code, stdout: now.stdout });
  expect(old.stderr).toMatch(/^headwater: "headwater lag" is now "headwater pipelines lag"/);
}, 300_000);

test('lists without elements are [] with --json', async () => {
  const commands = ['models list', 'predictions list', 'keys list', 'dlq list', 'workflows list', 'features stats'];
  const backups = {
    BACKUP_DIRECTORY: join(folder, 'no_backups'),
    BACKUP_SECRET: 'a secret of tests that is long enough',
  };
  for (const args of [...commands, 'backup list'])
    expect([args, await runCommand(folder, [...args.split(' '), '--json'], backups)]).toEqual([
      args,
      expect.objectContaining({ code: 0, stdout: '[]\n' }),
    ]);
}, 300_000);

test('Ctrl-C ends a command with 130 and how to resume it', async () => {
  mkdirSync(join(folder, 'slow'), { recursive: true });
  writeFileSync(
    join(folder, 'slow', 'headwater.config.ts'),
    "process.stderr.write('loading\\n'); await new Promise((resolve) => setTimeout(resolve, 60_000));\n",
  );
  const interrupted = async (...args: readonly string[]) => {
    const child = spawn(process.execPath, [PROGRAM, ...args, '-C', join(folder, 'slow')], {
      env: commandEnvironment(folder),
    });
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => {
      if (!stderr.includes('loading') && `${stderr}${chunk}`.includes('loading')) child.kill('SIGINT');
      stderr += chunk;
    });
    const code = await new Promise((resolve) => child.on('close', resolve));
    return { code, stderr };
  };
  expect(await interrupted('features', 'list')).toEqual({
    ...{ code: 130, stderr: expect.stringMatching(/interrupted; to resume, run the command again$/m) },
  });
  expect(await interrupted('models', 'train', 'churn', '--labels', 'x')).toEqual({
    ...{ code: 130, stderr: expect.stringMatching(/to resume, run the command again: trials/) },
  });
}, 300_000);

test('--project runs a command as if it was started in that folder', async () => {
  const elsewhere = join(folder, 'empty');
  const env = { HEADWATER_PROJECT: elsewhere };
  const here = await runCommand(elsewhere, ['features', 'list', '--json'], { HEADWATER_PROJECT: projectRoot });
  expect(await runCommand(elsewhere, ['features', 'list', '--json'], env)).toMatchObject({ code: 1 });
  for (const args of [
    ['-C', projectRoot, 'features', 'list', '--json'],
    ['features', 'list', '--json', '--project', projectRoot],
  ])
    expect(await runCommand(elsewhere, args, env)).toEqual(here);
  // Paths of other options are below it too.
  symlinkSync(assetPath('headwater.config.ts'), join(folder, 'empty', 'file'));
  const keys = await runCommand(folder, ['keys', 'list', '--file', 'none.json', '-C', 'empty']);
  expect(keys).toMatchObject({ code: 0, stderr: expect.stringMatching(/no keys/) });
  for (const [missing, problem] of [
    ['missing', 'there is no such folder'],
    ['empty/file', 'it is not a folder'],
    ['', 'there is no such folder'],
  ] as const) {
    expect(await runCommand(folder, ['features', 'list', '-C', missing])).toEqual({
      ...{ code: 2, stdout: '' },
      stderr: `headwater: --project "${missing}": ${problem}\n`,
    });
  }
}, 300_000);

test('a stack trace is printed only with --debug', async () => {
  const short = await runCommand(folder, ['features', 'list', '-C', 'broken']);
  const long = await runCommand(folder, ['features', 'list', '-C', 'broken', '--debug']);
  for (const { code, stdout, stderr } of [short, long])
    expect([code, stdout, stderr]).toEqual([1, '', expect.stringContaining('the project is broken')]);
  expect([STACK.test(short.stderr), STACK.test(long.stderr)]).toEqual([false, true]);
}, 300_000);

test('colours: none with NO_COLOR', async () => {
  const script = `
    import { PassThrough } from 'node:stream';
    import { createProgress } from ${JSON.stringify(assetPath('dist/cli/terminal/progress.js'))};
    const terminal = Object.assign(new PassThrough(), { isTTY: true, columns: 80, cursorTo() {}, clearLine() {} });
    terminal.pipe(process.stdout);
    const task = createProgress(terminal).begin('work', 2);
    task.update(1);
    task.finish('done');
  `;
  const written = async (env: Readonly<Record<string, string>>): Promise<string> => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...commandEnvironment(folder, env) },
    });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk;
    });
    await new Promise((resolve) => child.on('close', resolve));
    return text;
  };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the sequences that set colours
  const colour = /\u001b\[\d+m/;
  const [coloured, plain] = [await written({ FORCE_COLOR: '1' }), await written({ FORCE_COLOR: '1', NO_COLOR: '1' })];
  expect([coloured, plain].map((text) => [text.includes('work'), colour.test(text)])).toEqual([
    [true, true],
    [true, false],
  ]);
}, 300_000);
