/** What a module of a project may export for the platform. */
export type DefinitionKind = 'view' | 'on_demand' | 'service' | 'source' | 'model';

// Registered globally: a definition is known although another copy of the package has made it.
const KIND = Symbol.for('headwater.definition');

/** Marks and freezes a definition, so that it is found among the exports of a module. The mark is not enumerable. */
export const definitionOfKind = <T extends object>(kind: DefinitionKind, definition: T): Readonly<T> =>
  Object.freeze(Object.defineProperty(definition, KIND, { value: kind }));

/** Returns what a value defines; undefined for all else. */
export const definitionKind = (value: unknown): DefinitionKind | undefined =>
  typeof value === 'object' && value !== null ? (value as { readonly [KIND]?: DefinitionKind })[KIND] : undefined;
