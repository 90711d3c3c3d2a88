import type { Entity } from '../definitions/sources/source.ts';
import { entityOf } from '../definitions/values/entity_key.ts';
import type { DataSubject, Erasable, SubjectRecord } from './erasable.ts';

/** Whose data is erased or exported, as a project's own places know it. */
export interface SubjectIds {
  /** As stores and topics have it: `customer:c1`. */
  readonly key: string;
  /** Its join keys with their values as strings: `{ customer_id: 'c1' }`. */
  readonly joinKeys: Readonly<Record<string, string>>;
}

/** A place of a project's own, open for one command. */
export interface OpenPersonalData {
  /** Erases what it keeps of a subject; repeating it is safe. @returns how much there was, in rows or records */
  erase(subject: SubjectIds): Promise<number>;
  /** Everything that it keeps of a subject, as JSON. */
  read(subject: SubjectIds): AsyncIterable<SubjectRecord>;
  close?(): Promise<void>;
}

/** A place of a project's own that keeps data of entities, such as a table of a plugin: `personalData` of `defineConfig`. */
export interface PersonalData {
  /** Heads its counts and records: `feedback`. */
  readonly name: string;
  /** Whose data it keeps; it is asked about no other entity. */
  readonly entity: Entity;
  /** Opens it. What is thrown ends the command before anything is erased. */
  open(): Promise<OpenPersonalData>;
  /** Why data may stay after an erasure, and for how long; absent where none does. Printed with the counts. */
  readonly stays?: string;
}

/** Defines a place of the project's own that erasure and export reach. `personalDataContract` of `headwater/testing` tests it. */
export const definePersonalData = (data: PersonalData): PersonalData => Object.freeze({ ...data });

/** Returns a place of a project as erasure and export take it. */
export function projectData({ name, entity, stays }: PersonalData, data: OpenPersonalData): Erasable {
  const idsOf = ({ key, mention }: DataSubject): SubjectIds | undefined =>
    entityOf(key) === entity.name ? { key, joinKeys: mention.joinKeys } : undefined;
  return {
    place: name,
    async erase(subject) {
      const ids = idsOf(subject);
      return ids === undefined ? 0 : await data.erase(ids);
    },
    async *read(subject) {
      const ids = idsOf(subject);
      if (ids !== undefined) yield* data.read(ids);
    },
    ...(stays === undefined ? {} : { stays }),
  };
}
