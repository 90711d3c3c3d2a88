import { setTimeout as sleep } from 'node:timers/promises';
import type { Producer } from '#connectors/connector';
import { RecordRefusedError } from '#connectors/errors';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { entityOf } from '#feature_store/definitions/values/entity_key';
import { fingerprintOf } from '#feature_store/erasure/erasures';
import type { OfflineStores } from '#feature_store/offline_stores';
import type { OnlineStore } from '#feature_store/online/online_store';
import type { Logger } from '#monitoring/log';
import type { DoFn, ProcessContext } from '#pipelines/engine/dofn';
import type { DecodedEvent, ErasedEntity } from '../events/decode_events.ts';

interface Deps {
  readonly producer: Producer;
  readonly online: OnlineStore;
  readonly offline: Pick<OfflineStores, 'features' | 'erasures'>;
  readonly views: readonly FeatureView[];
  readonly log: Logger;
  readonly discardSnapshots?: () => Promise<void>;
}

const TRIES = 6;
const FIRST_RETRY_MS = 500;

/**
 * Ends an erasure once the state without the entity is durable: removes the rows that were computed before the pipeline read the erasure, removes the older
 * snapshots, marks the key in the feature-events topic as deleted, and reports the erasure as applied. Every part may be repeated.
 */
export class ApplyErasures implements DoFn<Extract<DecodedEvent, { ok: true | 'erasure' }>, never> {
  readonly #deps: Deps;
  readonly #featureEventsTopic: string | undefined;

  constructor(deps: Deps, featureEventsTopic: string | undefined) {
    this.#deps = deps;
    this.#featureEventsTopic = featureEventsTopic;
  }

  process(element: Extract<DecodedEvent, { ok: true | 'erasure' }>, context: ProcessContext<never>): void {
    if (element.ok !== 'erasure') return;
    const readAtMs = context.clock.now();
    // By then every row of before has been written, and a snapshot without the entity is on disk.
    context.afterBundleCommit(() => this.#applyWithRetries(element, readAtMs));
  }

  async #applyWithRetries(erasure: ErasedEntity, readAtMs: number): Promise<void> {
    const log = this.#deps.log.child({ component: 'pipelines.erasures' });
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#apply(erasure, readAtMs);
        log.info({ entity: entityOf(erasure.entityKey) }, 'erasure.applied');
        return;
      } catch (error) {
        if (attempt === TRIES) {
          log.error({ entity: entityOf(erasure.entityKey), error }, 'erasure.not_applied');
          return;
        }
        log.warn({ entity: entityOf(erasure.entityKey), error, attempt }, 'erasure.retried');
        await sleep(FIRST_RETRY_MS * 2 ** attempt, undefined, { ref: false });
      }
    }
  }

  async #apply({ entityKey, erasedAtMs }: ErasedEntity, readAtMs: number): Promise<void> {
    const { online, offline, producer, discardSnapshots } = this.#deps;
    const { secret } = await offline.erasures.read(erasedAtMs);
    const erasure = { fingerprint: fingerprintOf(secret, entityKey), erasedAtMs };
    // Read again after a restart, it has nothing to do: rows since then are of events since then.
    if (await offline.erasures.isApplied(erasure.fingerprint)) return;
    await offline.features.eraseRowsComputedBy(entityKey, readAtMs);
    const views = this.#deps.views.filter(({ entity }) => entity.name === entityOf(entityKey));
    for (const view of views) {
      const [row] = await online.read(view, [entityKey]);
      if (row === undefined || row.computedAt <= readAtMs) await online.erase([view], entityKey);
    }
    if (this.#featureEventsTopic !== undefined) {
      // Brokers that know no such records refuse them; there retention removes the rows.
      await producer.send(this.#featureEventsTopic, [{ key: entityKey, value: null }]).catch((error: unknown) => {
        if (!(error instanceof RecordRefusedError)) throw error;
      });
    }
    await discardSnapshots?.();
    await offline.erasures.markApplied(erasure);
  }
}
