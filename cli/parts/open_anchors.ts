import { readFileSync } from 'node:fs';
import { createFileSystems } from '#connectors/files/file_systems';
import { AuditKeys, type KeyFile } from '#feature_store/audit/anchor';
import { AuditAnchors } from '#feature_store/audit/audit_anchors';
import { AuditKeyError } from '#feature_store/errors';
import { messageOf } from '#kernel/errors';
import { systemClock } from '#kernel/time';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import type { OfflineDatabase } from './offline_database.ts';

/** Returns what anchors the audit trail; undefined where `audit.anchor` is not set. @throws {@link AuditKeyError} */
export function openAuditAnchors(
  offline: OfflineDatabase,
  { audit }: Pick<PlatformConfig, 'audit'>,
): AuditAnchors | undefined {
  if (audit.anchor === undefined) return undefined;
  const { directory, keyFile, previousKeyFiles } = audit.anchor;
  const keys = new AuditKeys(read(keyFile), previousKeyFiles.map(read));
  return new AuditAnchors(
    { trail: offline.auditTrail, fileSystems: createFileSystems(), clock: systemClock },
    { directory, keys },
  );
}

/** Returns it where this process holds the private key. @throws {@link AuditKeyError} */
export function openSigningAnchors(
  offline: OfflineDatabase,
  config: Pick<PlatformConfig, 'audit'>,
): AuditAnchors | undefined {
  const { anchor } = config.audit;
  if (anchor === undefined || !new AuditKeys(read(anchor.keyFile)).canSign) return undefined;
  return openAuditAnchors(offline, config);
}

function read(path: string): KeyFile {
  try {
    return { path, pem: readFileSync(path, 'utf8') };
  } catch (error) {
    throw new AuditKeyError(path, `cannot be read: ${messageOf(error)}`, error);
  }
}
