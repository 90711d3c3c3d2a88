import { randomUUID } from 'node:crypto';
import { appendFile, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { SafetyConcern } from '../contract.ts';
import { type Database, openDatabase } from '../database.ts';

export const STATUSES = ['new', 'in_review', 'reported', 'closed'] as const;
export type Status = (typeof STATUSES)[number];

export interface AdverseEvent {
  readonly id: string;
  /** ISO 8601 */
  readonly received_at: string;
  readonly request_id: string;
  readonly customer_id: string | null;
  readonly language: string;
  readonly score: number;
  readonly concerns: readonly SafetyConcern[];
  /** Null after erasure. */
  readonly masked_text: string | null;
  readonly status: Status;
}

export type NewAdverseEvent = Omit<AdverseEvent, 'id' | 'received_at' | 'status'>;

export interface AuditEntry {
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly note: string | null;
}

export interface StoreSettings {
  /** A folder, `postgres://…`, or `:memory:` */
  readonly place: string;
  /** Holds adverse events while the database is away, a line each. */
  readonly spool: string;
  readonly textDays: number;
}

type RecordedAdverseEvent = NewAdverseEvent & { readonly id: string; readonly received_at: string };

/** As PostgreSQL takes text: without null characters and halves of characters. */
const storable = <T>(value: T): T =>
  typeof value === 'string' ? (value.replace(/[\0\p{Cs}]/gu, '\uFFFD') as T) : value;

/** Returns the event of a line of the file; undefined: the line is no JSON. */
function parseSpooled(line: string): RecordedAdverseEvent | undefined {
  try {
    return JSON.parse(line) as RecordedAdverseEvent;
  } catch {
    return undefined;
  }
}

/** A first connection is tried again after this time. */
const REOPEN_MS = 1_000;

/**
 * Adverse events with their audit trail, and comments where they are kept. While the database is away an adverse event goes to a file on this machine,
 * and into the database when it is back: none is lost, and none makes a request fail.
 */
export class FeedbackStore {
  readonly #settings: StoreSettings;
  #database: Promise<Database> | undefined;
  #openedAt = 0;
  /** Reads and writes of the file, one at a time. */
  #spooling: Promise<unknown> = Promise.resolve();
  #spooled = 0;

  constructor(settings: StoreSettings) {
    this.#settings = settings;
  }

  /** Adverse events that wait in the file. */
  get spooled(): number {
    return this.#spooled;
  }

  /** Opens the database and takes in what a former process left in the file. */
  async start(): Promise<void> {
    const left = await readFile(this.#settings.spool, 'utf8').catch(() => '');
    this.#spooled = left.split('\n').filter(Boolean).length;
    await this.#open().catch(() => {});
    await this.drainSpool();
  }

  /** @throws while the database does not open */
  async check(): Promise<void> {
    await this.#open();
  }

  async stop(): Promise<void> {
    await this.#spooling.catch(() => {});
    const database = await this.#database?.catch(() => undefined);
    await database?.close();
    this.#database = undefined;
  }

  /** Records an adverse event: in the database, or in the file where it cannot. @throws where neither takes it */
  async record(event: NewAdverseEvent): Promise<{ readonly id: string; readonly isSpooled: boolean }> {
    const full = { ...event, id: randomUUID(), received_at: new Date().toISOString() };
    try {
      await this.#insert(full);
      if (this.#spooled > 0) void this.drainSpool();
      return { id: full.id, isSpooled: false };
    } catch {
      const { spool } = this.#settings;
      await this.#alone(async () => {
        await mkdir(dirname(spool), { recursive: true });
        await appendFile(spool, `${JSON.stringify(full)}\n`, { flush: true, mode: 0o600 });
        this.#spooled += 1;
      });
      return { id: full.id, isSpooled: true };
    }
  }

  /** Takes the file's events into the database; they stay where it is still away. */
  drainSpool(): Promise<void> {
    return this.#alone(async () => {
      const { spool } = this.#settings;
      const taken = `${spool}.taken`;
      // A file that a killed process had begun with comes first: events that are in the database already change nothing.
      for (const prepare of [async () => {}, () => rename(spool, taken)]) {
        await prepare().catch(() => {});
        const text = await readFile(taken, 'utf8').catch(() => undefined);
        if (text === undefined) continue;
        const lines = text.split('\n').filter(Boolean);
        try {
          for (const line of lines) {
            const event = parseSpooled(line);
            // A process that was killed while it wrote: its request had no answer. The line is kept for a person to read.
            if (event === undefined) await appendFile(`${spool}.unreadable`, `${line}\n`, { mode: 0o600 });
            else await this.#insert(event);
          }
        } catch {
          return;
        }
        await rm(taken);
        this.#spooled = Math.max(0, this.#spooled - lines.length);
      }
    });
  }

  async list({
    status,
    limit,
  }: {
    readonly status?: Status | undefined;
    readonly limit: number;
  }): Promise<readonly AdverseEvent[]> {
    const database = await this.#open();
    const rows = await database.query<AdverseEvent & { received_at: Date }>(
      `SELECT * FROM feedback_adverse_events WHERE $1::text IS NULL OR status = $1 ORDER BY received_at DESC LIMIT $2`,
      [status ?? null, limit],
    );
    return rows.map((row) => ({ ...row, received_at: new Date(row.received_at).toISOString() }));
  }

  async audit(id: string): Promise<readonly AuditEntry[]> {
    const database = await this.#open();
    const rows = await database.query<AuditEntry & { at: Date }>(
      'SELECT at, actor, action, note FROM feedback_adverse_event_audit WHERE event_id = $1 ORDER BY number',
      [id],
    );
    return rows.map((row) => ({ ...row, at: new Date(row.at).toISOString() }));
  }

  /** Sets the status of an event, with an entry in its audit trail. @returns whether there is such an event */
  async review(
    id: string,
    review: { readonly status: Status; readonly actor: string; readonly note?: string | undefined },
  ): Promise<boolean> {
    const database = await this.#open();
    const rows = await database.query(
      `WITH changed AS (UPDATE feedback_adverse_events SET status = $2 WHERE id = $1 RETURNING id)
       INSERT INTO feedback_adverse_event_audit (event_id, actor, action, note) SELECT id, $3, 'status:' || $2, $4 FROM changed RETURNING event_id`,
      [id, review.status, review.actor, review.note ?? null],
    );
    return rows.length > 0;
  }

  /** Returns how many events no one has looked at, and the age of the oldest in seconds. */
  async waiting(): Promise<{ readonly count: number; readonly oldestSeconds: number }> {
    const database = await this.#open();
    const [row] = await database.query<{ count: number; oldest: number | null }>(
      `SELECT count(*)::int AS count, extract(epoch FROM now() - min(received_at))::float8 AS oldest FROM feedback_adverse_events WHERE status = 'new'`,
    );
    return { count: row?.count ?? 0, oldestSeconds: Math.max(0, row?.oldest ?? 0) };
  }

  /** Keeps a text as it came, and removes those that are older than the retention. */
  async keepText(text: string, customerId: string | undefined): Promise<void> {
    const database = await this.#open();
    await database.query(
      'INSERT INTO feedback_comments (id, received_at, customer_id, text) VALUES ($1, now(), $2, $3)',
      [...[randomUUID(), storable(customerId ?? null), storable(text)]],
    );
    await this.removeOldComments();
  }

  async removeOldComments(): Promise<number> {
    const database = await this.#open();
    const rows = await database.query(
      `DELETE FROM feedback_comments WHERE received_at < now() - make_interval(days => $1) RETURNING id`,
      [this.#settings.textDays],
    );
    return rows.length;
  }

  /**
   * Erases a customer: comments are removed; adverse events stay, as the law on medicines and products asks, without the customer and the text, and their
   * audit trail has an entry of it.
   */
  async erase(
    customerId: string,
    actor: string,
  ): Promise<{ readonly comments: number; readonly adverseEvents: number }> {
    await this.drainSpool();
    if (this.#spooled > 0)
      throw new Error('adverse events wait in a file for the database: erase again when it is back');
    const database = await this.#open();
    const customer = storable(customerId);
    const comments = await database.query('DELETE FROM feedback_comments WHERE customer_id = $1 RETURNING id', [
      customer,
    ]);
    const events = await database.query(
      `WITH erased AS (
         UPDATE feedback_adverse_events SET customer_id = NULL, masked_text = NULL,
           concerns = (SELECT coalesce(jsonb_agg(each - 'words'), '[]') FROM jsonb_array_elements(concerns) each)
         WHERE customer_id = $1 RETURNING id)
       INSERT INTO feedback_adverse_event_audit (event_id, actor, action) SELECT id, $2, 'erased' FROM erased RETURNING event_id`,
      [customer, actor],
    );
    return { comments: comments.length, adverseEvents: events.length };
  }

  /** What is kept of a customer: comments, and adverse events as they are in the database. */
  async *read(customerId: string): AsyncIterable<Readonly<Record<string, unknown>>> {
    const database = await this.#open();
    for (const table of ['feedback_comments', 'feedback_adverse_events'])
      for (const row of await database.query<Readonly<Record<string, unknown>>>(
        `SELECT to_jsonb(kept) AS record FROM ${table} kept WHERE customer_id = $1 ORDER BY received_at, id`,
        [storable(customerId)],
      ))
        yield { table, ...(row.record as Readonly<Record<string, unknown>>) };
  }

  async #insert(event: RecordedAdverseEvent): Promise<void> {
    const database = await this.#open();
    await database.query(
      `WITH added AS (
         INSERT INTO feedback_adverse_events (id, received_at, request_id, customer_id, language, score, concerns, masked_text)
         VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8) ON CONFLICT (id) DO NOTHING RETURNING id)
       INSERT INTO feedback_adverse_event_audit (event_id, actor, action) SELECT id, 'detector', 'detected' FROM added`,
      [
        ...[event.id, event.received_at, storable(event.request_id), storable(event.customer_id), event.language],
        ...[event.score, JSON.stringify(event.concerns, (_, value) => storable(value)), storable(event.masked_text)],
      ],
    );
  }

  #open(): Promise<Database> {
    const held = this.#database;
    if (held !== undefined) return held;
    if (performance.now() - this.#openedAt < REOPEN_MS && this.#openedAt > 0)
      return Promise.reject(new Error('the database of feedback is away'));
    this.#openedAt = performance.now();
    const opening = openDatabase(this.#settings.place);
    this.#database = opening;
    opening.catch(() => {
      this.#database = undefined;
    });
    return opening;
  }

  #alone<T>(run: () => Promise<T>): Promise<T> {
    const next = this.#spooling.then(run, run);
    this.#spooling = next.catch(() => {});
    return next;
  }
}
