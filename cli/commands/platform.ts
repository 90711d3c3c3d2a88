import { Option } from '@commander-js/extra-typings';
import { ROLES, TARGETS } from '../terminal/choices.ts';
import { noun, type Program } from './command_group.ts';
import { lazily } from './lazily.ts';
import { rolesOf } from './roles.ts';
import { integer } from './values.ts';

export function registerPlatform(program: Program): void {
  program
    .command('start')
    .description('Run the platform until SIGINT or SIGTERM')
    .addOption(
      new Option('--role <roles...>', `roles that run in this process: ${ROLES.join(', ')} (default: all)`)
        .argParser(rolesOf)
        .env('ROLES'),
    )
    .action(async ({ role: roles = ROLES }) => {
      const [{ start }, { loadProject }] = await Promise.all([
        import('../roles/start.ts'),
        import('../project/project.ts'),
      ]);
      await start(await loadProject(), roles);
    });

  program
    .command('check')
    .description('Check a running platform with one event, or definitions against a git commit')
    .option(
      '--against <ref>',
      'compare the definitions with those of a git commit or branch; exit code 1 if a model in use breaks',
    )
    .option('--host <name>', 'host of the running platform; ports are those of the configuration', '127.0.0.1')
    .addOption(
      new Option('--api-key <key>', 'API key (default: the first of the configuration)').env('HEADWATER_API_KEY'),
    )
    .option('--timeout <seconds>', 'time limit for features', integer(1), 30)
    .option('--json', 'print a JSON array', false)
    .action(async ({ against, ...options }) => {
      if (against === undefined) await (await import('../operations/check.ts')).checkPlatform(options);
      else await (await import('../definitions/check_against.ts')).checkAgainst({ ...options, against });
    });

  noun(program, 'config', 'The configuration')
    .command('show', { isDefault: true })
    .description('Print the validated configuration without secrets')
    .option('--json', 'print JSON', false)
    .action(lazily(() => import('../operations/show_config.ts'), 'showConfig'));

  noun(program, 'events', 'Events of the sources')
    .command('send')
    .description('Validate events as the gateway does and write them to the raw-events topic')
    .option('--input-file <path>', 'events as a JSON array or JSON lines (default: generated)')
    .option(
      '--source <names...>',
      'sources whose events are generated (default: those that declare testEvents, or all)',
    )
    .addOption(new Option('--to <broker>', 'broker (default: the configured one)').choices(TARGETS))
    .option('--events <n>', 'events to generate', integer(), 1_000)
    .option('--seed <n>', 'seed of the generator', integer(), 1)
    .action(lazily(() => import('../operations/send_test_data.ts'), 'sendTestData'));
}
