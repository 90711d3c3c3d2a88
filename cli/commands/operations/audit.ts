import type { Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';

export function registerAudit(program: Program): void {
  const audit = program.command('audit').description('The audit trail of promotions and routing');
  audit
    .command('verify', { isDefault: true })
    .description('Verify the hash chain of the trail and its anchors; exit code 1 if it was changed')
    .option('--head <hash>', 'hash returned by an earlier check, which the trail must still contain')
    .action(lazily(() => import('../../operations/audit.ts'), 'verifyAudit'));
}
