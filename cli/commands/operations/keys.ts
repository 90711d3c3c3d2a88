import type { NewCommand, Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';

const operations = () => import('../../operations/keys.ts');

const withFile = (command: NewCommand) => command.option('--file <path>', 'keys file (default: the configured one)');

export function registerKeys(program: Program): void {
  const keys = program.command('keys').description('API keys; a running platform applies changes within a second');
  withFile(keys.command('create').description('Create a key and print it once; only its hash is stored'))
    .argument('<name>', 'name of the client, shown in logs and audit trails')
    .requiredOption(
      '--scope <scopes...>',
      'scopes, such as ingest, predict:MODEL, features:VIEW; admin allows everything',
    )
    .option('--quota <requests/window>', 'request limit, such as 100/1s')
    .option('--expires <duration>', 'lifetime, such as 90d (default: until revoked)')
    .option('--json', 'print JSON', false)
    .action(lazily(operations, 'create'));
  withFile(keys.command('list').description('List keys without their secrets'))
    .option('--json', 'print a JSON array', false)
    .action(lazily(operations, 'list'));
  withFile(keys.command('rotate').description('Replace a key; the old one stays valid during the overlap'))
    .argument('<key>', 'id or name')
    .option('--overlap <duration>', 'how long the old key stays valid; 0s revokes it at once', '24h')
    .option('--json', 'print JSON', false)
    .action(lazily(operations, 'rotate'));
  withFile(keys.command('revoke').description('Revoke a key'))
    .argument('<key>', 'id or name')
    .action(lazily(operations, 'revoke'));
  withFile(keys.command('change').description('Change the scopes or the quota of a key'))
    .argument('<key>', 'id or name')
    .option('--scope <scopes...>', 'new scopes, which replace the old ones')
    .option('--quota <requests/window>', 'request limit, such as 100/1s, or none')
    .action(lazily(operations, 'change'));
  keys
    .command('scopes')
    .description('List scopes')
    .option('--json', 'print a JSON array', false)
    .action(lazily(operations, 'listScopes'));
}
