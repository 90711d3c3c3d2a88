import { InvalidEventError } from '#connectors/gateway/errors';
import { createEventValidator, type ValidateEvent } from '#connectors/gateway/events/event_validator';
import { messageOf } from '#kernel/errors';
import { eventTimeOf } from '#kernel/event_fields';
import { unstorableTextIn } from '#kernel/text/unstorable_text';
import { type Clock, eventTime, processingTime } from '#kernel/time';
import { emptyEntityState } from '../aggregation/entity_state.ts';
import { ViewComputation } from '../aggregation/view_computation.ts';
import { EntityKeyError } from '../definitions/errors.ts';
import type { FeatureView } from '../definitions/feature_view.ts';
import { violationsOf } from '../definitions/rules/quality_rule.ts';
import { entityKeyOf } from '../definitions/values/entity_key.ts';
import { type FeatureRow, viewId } from '../definitions/values/feature_row.ts';
import type { ErasureStore } from '../erasure/erasure_store.ts';
import { Erasures } from '../erasure/erasures.ts';
import { FeatureComputationError } from '../errors.ts';
import type { OfflineStore } from '../offline/offline_store.ts';
import type { OnlineStore } from '../online/online_store.ts';
import { writeUnerased } from '../online/write_unerased.ts';

/** Where rows are pushed to. */
export interface PushStores {
  readonly online: Pick<OnlineStore, 'write' | 'read' | 'erase'>;
  readonly offline: {
    readonly features: Pick<OfflineStore, 'write' | 'eraseRowsComputedBy'>;
    readonly erasures: Pick<ErasureStore, 'read'>;
  };
}

/** Why a row was not written. */
export interface RefusedRow {
  /** Its place in the request, from 0. */
  readonly row: number;
  readonly problems: readonly { readonly field: string; readonly problem: string }[];
}

export interface PushResult {
  readonly written: number;
  readonly refused: readonly RefusedRow[];
}

/** Clocks of machines may differ by so much, ms. */
const CLOCK_DIFFERENCE_MS = 60_000;

/**
 * Writes rows of one view, computed elsewhere, into both stores. A row is an event of the view's source, whose schema is checked; it may be of any age. Rows are known by entity and time: pushing one again
 * changes nothing, and an older one never replaces a newer one online.
 */
export class PushRows {
  readonly #view: FeatureView;
  readonly #stores: PushStores;
  readonly #clock: Clock;
  readonly #validate: ValidateEvent;
  readonly #computation: ViewComputation;

  constructor(view: FeatureView, stores: PushStores, clock: Clock) {
    this.#view = view;
    this.#stores = stores;
    this.#clock = clock;
    this.#validate = createEventValidator(view.sources, { allowedLatenessMs: Number.POSITIVE_INFINITY });
    this.#computation = new ViewComputation(view, 0);
  }

  /** @throws what the stores fail with: then none or some of the rows are written, and the same request completes them */
  async push(rows: readonly Readonly<Record<string, unknown>>[]): Promise<PushResult> {
    const computedAtMs = this.#clock.now();
    const accepted: FeatureRow[] = [];
    const refused: RefusedRow[] = [];
    for (const [index, row] of rows.entries()) {
      const made = this.#rowOf(row, computedAtMs);
      if ('problems' in made) refused.push({ row: index, problems: made.problems });
      else accepted.push(made);
    }
    if (accepted.length > 0) await this.#write(accepted, computedAtMs);
    return { written: accepted.length, refused };
  }

  #rowOf(row: Readonly<Record<string, unknown>>, computedAtMs: number): FeatureRow | Pick<RefusedRow, 'problems'> {
    const { entity, view, version, rules } = this.#view;
    const [source] = this.#view.sources;
    const [type, ...others] = source.eventTypes;
    const refuse = (field: string, problem: string) => ({ problems: [{ field, problem }] });
    try {
      const unstorable = unstorableTextIn(row);
      if (unstorable !== undefined) return refuse(unstorable.path, unstorable.problem);
      const sent = row.event_type === undefined && others.length === 0 ? { ...row, event_type: type } : row;
      const { fields } = this.#validate(sent, computedAtMs);
      const entityKey = entityKeyOf(entity, fields);
      const time = eventTimeOf(fields, source, computedAtMs);
      if ('problem' in time) return refuse(source.timestampField, time.problem);
      const values = this.#computation.apply(emptyEntityState(), fields, time.timeMs);
      const broken = violationsOf(rules, values).find(({ rule }) => rule.action !== 'warn');
      if (broken !== undefined)
        return refuse(broken.rule.features.join(', '), `breaks rule ${broken.name}: ${broken.rule.description}`);
      const times = { eventTime: eventTime(time.timeMs), computedAt: processingTime(computedAtMs) };
      return { view, version, entityKey, ...times, values };
    } catch (error) {
      if (error instanceof InvalidEventError) return { problems: error.fields };
      if (error instanceof EntityKeyError) return refuse(entity.joinKeys.join(', '), error.message);
      if (error instanceof FeatureComputationError) return refuse(error.feature, messageOf(error));
      return refuse('', messageOf(error));
    }
  }

  async #write(rows: readonly FeatureRow[], computedAtMs: number): Promise<void> {
    const { online, offline } = this.#stores;
    await offline.features.write(rows);
    await writeUnerased({ online, offline }, rows, computedAtMs);
    // An entity may have been erased while its row was on its way.
    const erasures = new Erasures();
    erasures.load(await offline.erasures.read(computedAtMs - CLOCK_DIFFERENCE_MS));
    for (const { entityKey, computedAt } of rows) {
      if (erasures.isErased(entityKey, computedAt)) await offline.features.eraseRowsComputedBy(entityKey, computedAt);
    }
  }
}

/** Returns what pushes rows of each view that takes them, by id. */
export const pushesOf = (
  views: readonly FeatureView[],
  stores: PushStores,
  clock: Clock,
): ReadonlyMap<string, PushRows> =>
  new Map(
    views
      .filter(({ mode }) => mode === 'push')
      .map((view) => [viewId(view), new PushRows(view, stores, clock)] as const),
  );
