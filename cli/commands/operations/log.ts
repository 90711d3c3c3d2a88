import type { NewCommand, Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';

const files = () => import('../../operations/log_files.ts');

const withFolders = (command: NewCommand) =>
  command
    .argument('[folders...]', 'folders of logs (default: those of the configuration)')
    .option('--json', 'print a JSON array, one object for each log', false);

export function registerLog(program: Program): void {
  const log = program
    .command('log')
    .description('Files of this machine: embedded log and online store, spool, snapshots, local registry');
  withFolders(log.command('verify').description('Verify every byte; exit code 1 if a file is damaged')).action(
    lazily(files, 'verifyLogs'),
  );
  withFolders(log.command('repair').description('Move damaged parts of logs aside and report their contents')).action(
    lazily(files, 'repairLogs'),
  );
}
