import { startAll } from '#kernel/lifecycle';
import { createLogger } from '#monitoring/log';
import { openAuditAnchors } from '../parts/open_anchors.ts';
import { openOffline } from '../parts/open_parts.ts';
import { loadPlatformConfig } from '../project/platform_config.ts';
import { print } from '../terminal/print.ts';

export interface AuditOptions {
  /** A hash that an earlier check returned. */
  readonly head?: string;
}

/** `headwater audit verify`: whether the trail of promotions and routing is whole, and as its anchors say; exit code 1 where it is not. */
export async function verifyAudit({ head }: AuditOptions): Promise<void> {
  const config = loadPlatformConfig(process.env);
  const offline = await openOffline(config, createLogger({ level: 'error' }));
  await using _ = await startAll([offline], new AbortController().signal);
  const check = await offline.verifyAuditTrail(head);
  const anchors = await openAuditAnchors(offline, config)?.verify();
  const problems = [...check.problems, ...(anchors?.problems ?? [])];
  const kept = anchors === undefined ? {} : { anchored: anchors.anchored, notAnchored: anchors.notAnchored };
  print(JSON.stringify({ whole: problems.length === 0, ...check, ...kept, problems }));
  if (problems.length > 0) process.exitCode = 1;
}
