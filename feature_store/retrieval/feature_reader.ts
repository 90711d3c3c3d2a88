import { type FeatureService, servicesById } from '#feature_store/definitions/feature_service';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import {
  type EntityKey,
  entityKeyFromId,
  entityKeyFromText,
  type KeyedEntity,
} from '#feature_store/definitions/values/entity_key';
import type { FeatureRow, FeatureValue } from '#feature_store/definitions/values/feature_row';
import type { OnlineStore } from '#feature_store/online/online_store';
import type { Clock } from '#kernel/time';
import { FeatureComputationError, UnknownServiceError } from '../errors.ts';
import { vectorOf } from './feature_vector.ts';

type Values = Readonly<Record<string, FeatureValue>>;

/** An entity of the service's type, and what the request says of it: checked by `requestFields`. */
export interface VectorRequest {
  /** Its id as people write it. */
  readonly entity: string;
  readonly request: Values;
}

export interface FeatureVector {
  readonly entity: string;
  readonly entityKey: EntityKey;
  /** By column. */
  readonly values: Values;
  /** What it was made of, in the order of the service's stored views. */
  readonly rows: readonly (FeatureRow | undefined)[];
  /** Whether anything is stored of the entity, or the service answers for everybody. */
  readonly isKnown: boolean;
  /** Why it could not be computed; its values are null then. */
  readonly failure?: FeatureComputationError;
}

/** Vectors of feature services, as of now, from the online store: what serving and the feature API read. */
export class FeatureReader {
  readonly #online: OnlineStore;
  readonly #clock: Clock;
  readonly #services: ReadonlyMap<string, FeatureService>;
  /** By name. */
  readonly #entities: ReadonlyMap<string, KeyedEntity>;

  constructor(
    deps: { readonly online: OnlineStore; readonly clock: Clock },
    definitions: { readonly views: readonly FeatureView[]; readonly services: readonly FeatureService[] },
  ) {
    this.#online = deps.online;
    this.#clock = deps.clock;
    this.#services = servicesById(definitions);
    this.#entities = new Map(this.services.map((service) => [service.entity.name, service]));
  }

  get services(): readonly FeatureService[] {
    return [...this.#services.values()];
  }

  /** By its id; a view's id is a service too. */
  find(id: string): FeatureService | undefined {
    return this.#services.get(id);
  }

  /** @throws {@link UnknownServiceError} */
  get(id: string): FeatureService {
    const service = this.find(id);
    if (service === undefined) throw new UnknownServiceError(id, [...this.#services.keys()]);
    return service;
  }

  /**
   * Returns the key of an entity that is named without a service: by its key, such as `user:u1`, or by its id where all services are of one entity; undefined
   * for an id where they are of several.
   *
   * @throws {@link EntityKeyError} for what is no key or id of the entity
   */
  entityKeyOf(text: string): EntityKey | undefined {
    const named = this.#entities.get(text.slice(0, Math.max(0, text.indexOf(':'))));
    if (named !== undefined) return entityKeyFromText(named, text);
    const [only, ...others] = this.#entities.values();
    return only === undefined || others.length > 0 ? undefined : entityKeyFromId(only, text);
  }

  /**
   * Reads vectors in the order of the requests: one read a view, however many they are. A vector that cannot be computed fails alone.
   *
   * @throws {@link EntityKeyError} for what is no id of the entity
   */
  async read(service: FeatureService, requests: readonly VectorRequest[]): Promise<readonly FeatureVector[]> {
    const keys = requests.map(({ entity }) => entityKeyFromId(service, entity));
    const byView = await Promise.all(service.stored.map(({ view }) => this.#online.read(view, keys)));
    const nowMs = this.#clock.now();
    return requests.map(({ entity, request }, index) => {
      const rows = byView.map((found) => found[index]);
      const entityKey = keys[index] as EntityKey;
      const isKnown = service.unknownEntities === 'defaults' || rows.some((row) => row !== undefined);
      try {
        return { entity, entityKey, rows, values: vectorOf(service, rows, request, nowMs), isKnown };
      } catch (error) {
        if (!(error instanceof FeatureComputationError)) throw error;
        const values = Object.fromEntries(service.columns.map(({ name }) => [name, null]));
        return { entity, entityKey, rows, values, isKnown, failure: error };
      }
    });
  }
}
