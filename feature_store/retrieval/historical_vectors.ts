import type { FeatureService } from '#feature_store/definitions/feature_service';
import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import { FeatureComputationError, TrainingSetError } from '../errors.ts';
import type { Moment, OfflineStore } from '../offline/offline_store.ts';
import { vectorOf } from './feature_vector.ts';

type Values = Readonly<Record<string, FeatureValue>>;

/** An entity at a time, with the fields that on-demand features need, as `requestFields` returns them. */
export interface RequestedMoment extends Moment {
  readonly request: Values;
}

export interface HistoricalOptions {
  /** Whether only values count that had been computed by the moment. */
  readonly knownAtMoment: boolean;
  /** Names a moment in errors, by its index. */
  readonly nameOf: (index: number) => string;
}

/**
 * Returns a service's columns as they were at each moment, in order: what training sets are made of.
 *
 * @throws {@link TrainingSetError} naming the moment whose on-demand features fail
 */
export async function historicalVectors(
  offline: Pick<OfflineStore, 'pointInTimeJoin'>,
  service: FeatureService,
  moments: readonly RequestedMoment[],
  { knownAtMoment, nameOf }: HistoricalOptions,
): Promise<readonly Values[]> {
  const byView = await Promise.all(
    service.stored.map(({ view }) => offline.pointInTimeJoin(moments, { view, ttlMs: view.ttlMs, knownAtMoment })),
  );
  return moments.map(({ request, eventTime }, index) => {
    const stored = byView.map((found) => (found[index] === undefined ? undefined : { values: found[index] }));
    try {
      return vectorOf(service, stored, request, eventTime);
    } catch (error) {
      if (!(error instanceof FeatureComputationError)) throw error;
      throw new TrainingSetError(`${nameOf(index)}: ${error.message}`);
    }
  });
}
