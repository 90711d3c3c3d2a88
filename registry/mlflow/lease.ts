import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { PromotionConflictError } from '../errors.ts';
import type { MlflowClient } from './client.ts';

/** Who promotes versions of a model now. */
interface Lease {
  readonly holder: string;
  readonly untilMs: number;
}

const LEASE_TAG = 'headwater.promoting';
/** A promotion takes far less; one that died is over then. */
const LEASE_MS = 30_000;
const LEASE_SETTLES_MS = 30;

/**
 * Does `work` while no other process does such work on the model. MLflow cannot compare and set. So a lease is written as a tag of the model, and after a
 * moment in which every other writer of this time has written as well, the tag says whose it is: the last one's.
 *
 * @throws {@link PromotionConflictError} when another process has it
 */
export async function withLease<T>(client: MlflowClient, name: string, work: () => Promise<T>): Promise<T> {
  const write = (lease: Lease): Promise<unknown> =>
    client.post('registered-models/set-tag', { name, key: LEASE_TAG, value: JSON.stringify(lease) });
  const held = await readLease(client, name);
  if (held !== undefined && held.untilMs > Date.now()) throw new PromotionConflictError(name);
  const lease = { holder: randomUUID(), untilMs: Date.now() + LEASE_MS };
  try {
    await write(lease);
  } catch (error) {
    // Its database may refuse one of two who write the same tag at once.
    const others = await readLease(client, name);
    throw others !== undefined && others.untilMs > Date.now() ? new PromotionConflictError(name) : error;
  }
  await sleep(LEASE_SETTLES_MS);
  if ((await readLease(client, name))?.holder !== lease.holder) throw new PromotionConflictError(name);
  try {
    return await work();
  } finally {
    await write({ ...lease, untilMs: 0 }).catch(() => {});
  }
}

async function readLease(client: MlflowClient, name: string): Promise<Lease | undefined> {
  const { registered_model } = await client.get<{
    readonly registered_model: { readonly tags?: readonly { readonly key: string; readonly value: string }[] };
  }>('registered-models/get', { name });
  const text = registered_model.tags?.find(({ key }) => key === LEASE_TAG)?.value;
  return text === undefined ? undefined : (JSON.parse(text) as Lease);
}
