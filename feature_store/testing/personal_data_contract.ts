import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { ContractCase } from '#kernel/contract';
import type { OpenPersonalData, PersonalData, SubjectIds } from '../data_subjects/personal_data.ts';

/** What {@link personalDataContract} has to know of a place. */
export interface PersonalDataContractOptions {
  /** Writes a record of each subject, given by its join keys, as the project does while it works. No command has the place open meanwhile. */
  readonly write: (subjects: readonly Readonly<Record<string, string>>[]) => Promise<void>;
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 60_000;

/** Values of a join key that a query which is put together as a string takes for more, or for something else. */
const AWKWARD = ['%', '_', "' OR '1'='1", '"', '\\', 'é', '人', '*', '..'] as const;

/** Returns cases of what every place of personal data does, so that an erasure is whole and reaches no one else. */
export function personalDataContract(
  place: PersonalData,
  { write, timeoutMs = TIMEOUT_MS }: PersonalDataContractOptions,
): readonly ContractCase[] {
  const cases: ContractCase[] = [];
  const test = (name: string, run: () => Promise<void>): void => void cases.push({ name, timeoutMs, run });
  const { entity } = place;
  const subject = (id: string = randomUUID()): SubjectIds => ({
    key: `${entity.name}:${id}`,
    joinKeys: Object.fromEntries(entity.joinKeys.map((name) => [name, id])),
  });
  const opened = async <T>(work: (data: OpenPersonalData) => Promise<T>): Promise<T> => {
    const data = await place.open();
    try {
      return await work(data);
    } finally {
      await data.close?.();
    }
  };
  const read = async (data: OpenPersonalData, of: SubjectIds): Promise<unknown[]> => {
    const records: unknown[] = [];
    for await (const record of data.read(of)) records.push(record);
    return records;
  };

  test('reading gives each record as JSON, the same each time', async () => {
    const one = subject();
    await write([one.joinKeys]);
    const records = await opened(async (data) => {
      const first = await read(data, one);
      assert.deepEqual(await read(data, one), first);
      return first;
    });
    assert.ok(records.length > 0, 'nothing is read of a subject that a record was written of');
    assert.deepEqual(JSON.parse(JSON.stringify(records)), records, 'a record is not what its JSON says');
  });

  test('erasing leaves nothing of the subject, counts what there was, and can be repeated', async () => {
    const one = subject();
    await write([one.joinKeys, one.joinKeys]);
    await opened(async (data) => {
      const count = (await read(data, one)).length;
      assert.equal(await data.erase(one), count, 'erase() counts something else than read() gives');
      assert.equal(await data.erase(one), 0, 'the second erasure finds something');
    });
    assert.deepEqual(await opened((data) => read(data, one)), [], 'what was erased is there again');
    await write([one.joinKeys]);
    const later = await opened((data) => read(data, one));
    assert.ok(later.length > 0, 'what is written after an erasure is not kept');
  });

  test('a subject of whom nothing is kept has nothing', () =>
    opened(async (data) => {
      assert.deepEqual(await read(data, subject()), []);
      assert.equal(await data.erase(subject()), 0);
    }));

  test('others keep their data, whatever characters an id has', async () => {
    const id = randomUUID();
    const other = subject(`${id}x`);
    const others = AWKWARD.map((awkward) => subject(`${id}${awkward}`));
    await write([other, ...others].map(({ joinKeys }) => joinKeys));
    await opened(async (data) => {
      const kept = await read(data, other);
      for (const one of others) {
        assert.ok((await read(data, one)).length > 0, `nothing is read of ${one.key}`);
        await data.erase(one);
        assert.deepEqual(await read(data, one), [], `${one.key} keeps data`);
        assert.deepEqual(await read(data, other), kept, `erasing ${one.key} changed ${other.key}`);
      }
    });
  });

  return cases;
}
