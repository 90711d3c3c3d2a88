import type { Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';
import { integer, NONE, repeated } from '../values.ts';

const create = () => import('../../backup/create_backup.ts');
const segments = () => import('../../backup/write_ahead_log.ts');

export function registerBackup(program: Program): void {
  const backup = program
    .command('backup')
    .description('Encrypted backups of everything the platform keeps: backup.directory and backup.secret');
  backup
    .command('create', { isDefault: true })
    .description('Write a backup beside the platform that runs, check it, and remove expired ones')
    .option('--json', 'print JSON', false)
    .action(lazily(create, 'createBackup'));
  backup
    .command('list')
    .description('List backups and their contents')
    .option('--json', 'print a JSON array', false)
    .action(lazily(create, 'listBackups'));
  backup
    .command('verify')
    .description('Read everything that a backup consists of; exit code 1 if something is missing or damaged')
    .argument('[id]', 'backup (default: the newest)')
    .action(lazily(create, 'verifyBackup'));
  backup
    .command('follow')
    .description("Store new records of Kafka's topics until SIGTERM")
    .option('--every <seconds>', 'pause between two rounds', integer(1), 5)
    .action(lazily(create, 'followRecords'));
  backup
    .command('wal-push')
    .description("Store a segment of the write-ahead log: PostgreSQL's archive_command")
    .argument('<path>', 'file to store, %p')
    .argument('<name>', 'name of the segment, %f')
    .action(lazily(segments, 'pushSegment'));
  backup
    .command('wal-fetch')
    .description("Write a stored segment of the write-ahead log: PostgreSQL's restore_command")
    .argument('<name>', 'name of the segment, %f')
    .argument('<path>', 'file to write, %p')
    .action(lazily(segments, 'fetchSegment'));

  program
    .command('restore')
    .description('Write a backup to the folders and topics of the configuration; nothing is replaced')
    .argument('[id]', 'backup (default: the newest)')
    .option('--only <part>', 'restore this part; repeatable (headwater backup list prints the parts)', repeated, NONE)
    .option('--missing', 'write the files that are missing, and leave those that exist', false)
    .option('--postgres-data <folder>', 'prepare a data directory that a PostgreSQL server recovers from')
    .option(
      '--until <time>',
      'moment that PostgreSQL recovers to, such as 2026-01-31T12:00:00Z (default: the end of the log)',
    )
    .action(lazily(() => import('../../backup/restore_backup.ts'), 'restore'));

  program
    .command('drill')
    .description('Restore a backup into a temporary folder, compare counts, and print RPO and RTO')
    .argument('[id]', 'backup (default: the newest)')
    .option('--json', 'print JSON', false)
    .action(lazily(() => import('../../backup/drill.ts'), 'runDrill'));
}
