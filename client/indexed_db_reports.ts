import type { ReportStorage, WaitingReport } from './feedback_queue.ts';

// Of the platform's types the client knows those of Node alone: what it uses of IndexedDB is declared here.

interface IdbRequest<T> {
  readonly result: T;
  readonly error: Error | null;
  onsuccess: (() => void) | null;
  onerror: (() => void) | null;
}

interface IdbStore {
  put(value: WaitingReport): IdbRequest<unknown>;
  get(key: string): IdbRequest<WaitingReport | undefined>;
  delete(key: string): IdbRequest<undefined>;
  createIndex(name: string, keyPath: string): unknown;
  index(name: string): { getAll(query: null, most: number): IdbRequest<readonly WaitingReport[]> };
}

interface IdbTransaction {
  readonly error: Error | null;
  oncomplete: (() => void) | null;
  onabort: (() => void) | null;
  objectStore(name: string): IdbStore;
}

interface IdbDatabase {
  createObjectStore(name: string, options: { readonly keyPath: string }): IdbStore;
  transaction(name: string, mode: 'readonly' | 'readwrite', options: { readonly durability: 'strict' }): IdbTransaction;
}

interface IdbFactory {
  open(name: string, version: number): IdbRequest<IdbDatabase> & { onupgradeneeded: (() => void) | null };
}

const STORE = 'reports';
const ORDER = 'addedAtMs';

/** Returns a storage in the IndexedDB of a page or worker, which outlasts it. @param name - of the database */
export function indexedDbReports(name = 'headwater-feedback'): ReportStorage {
  let opened: Promise<IdbDatabase> | undefined;
  const within = async <T>(mode: 'readonly' | 'readwrite', work: (store: IdbStore) => T): Promise<T> => {
    // One that could not be opened is opened anew the next time.
    opened ??= openReports(name).catch((error: unknown) => {
      opened = undefined;
      throw error;
    });
    const transaction = (await opened).transaction(STORE, mode, { durability: 'strict' });
    const result = work(transaction.objectStore(STORE));
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    return result;
  };
  return {
    put: (report) => within('readwrite', (store) => void store.put(report)),
    oldest: async (most) => (await within('readonly', (store) => store.index(ORDER).getAll(null, most))).result,
    remove: (reports) =>
      within('readwrite', (store) => {
        for (const { key, id } of reports) {
          const found = store.get(key);
          found.onsuccess = () => {
            if (found.result?.id === id) store.delete(key);
          };
        }
      }),
  };
}

function openReports(name: string): Promise<IdbDatabase> {
  const { indexedDB } = globalThis as unknown as { readonly indexedDB: IdbFactory };
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(STORE, { keyPath: 'key' }).createIndex(ORDER, ORDER);
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
