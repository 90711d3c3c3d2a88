import type { Component } from '../component.ts';

/** A process of a round loads what its component needs, and no more. */
const LOADERS: Readonly<Record<string, () => Promise<Component>>> = {
  'disk log': async () => (await import('./log.ts')).LOG,
  'gateway spool': async () => (await import('./spool.ts')).SPOOL,
  'online store': async () => (await import('./online_store.ts')).ONLINE_STORE,
  'offline store': async () => (await import('./offline_store.ts')).OFFLINE_STORE,
  snapshots: async () => (await import('./snapshots.ts')).SNAPSHOTS,
  'model registry': async () => (await import('./models.ts')).REGISTRY,
  'waiting registrations': async () => (await import('./models.ts')).REGISTRATIONS,
  'dead letters': async () => (await import('./dead_letters.ts')).DEAD_LETTERS,
};

export async function loadComponent(name: string): Promise<Component> {
  const load = LOADERS[name];
  if (load === undefined) throw new RangeError(`there is no component ${name}`);
  return load();
}

export const loadComponents = (): Promise<readonly Component[]> => Promise.all(Object.keys(LOADERS).map(loadComponent));
