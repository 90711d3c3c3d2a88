import { print } from './print.ts';
import { withOffline } from './with_offline.ts';

export interface AuditOptions {
  /** A hash that was told earlier. */
  readonly head?: string;
}

/** `headwater audit`: whether the trail of promotions and routing is whole; exit code 1 where it is not. */
export async function verifyAudit({ head }: AuditOptions): Promise<void> {
  const check = await withOffline((store) => store.verifyAuditTrail(head));
  print(JSON.stringify({ whole: check.problems.length === 0, ...check }));
  if (check.problems.length > 0) process.exitCode = 1;
}
