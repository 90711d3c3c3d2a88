import { type SideInputMap, SideInputView } from '#pipelines/engine/dofn';
import type { KV, PCollection } from './pcollection.ts';

/** Gives a side input: the one element of each window; an empty window reads as the default, if one is given. */
export const asSingleton = <T>(collection: PCollection<T>, ...defaultValue: [] | [T]): SideInputView<T> =>
  new SideInputView<T>('singleton', collection, ...defaultValue);

/** Gives a side input: all elements, in no particular order. */
export const asIterable = <T>(collection: PCollection<T>): SideInputView<Iterable<T>> =>
  new SideInputView('iterable', collection);

/** Gives a side input: all elements as an array, in no particular order. */
export const asList = <T>(collection: PCollection<T>): SideInputView<readonly T[]> =>
  new SideInputView('list', collection);

/** Values by key; every key once. */
export const asMap = <K, V>(collection: PCollection<KV<K, V>>): SideInputView<SideInputMap<K, V>> =>
  new SideInputView('map', collection);

/** Gives a side input: all values of each key. */
export const asMultimap = <K, V>(collection: PCollection<KV<K, V>>): SideInputView<SideInputMap<K, readonly V[]>> =>
  new SideInputView('multimap', collection);
