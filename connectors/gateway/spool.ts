import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokenCircuitError, TaskCancelledError, TimeoutStrategy, timeout, wrap } from 'cockatiel';
import { z } from 'zod';
import type { LogRecord, OutgoingRecord, Producer } from '#connectors/connector';
import { messageOf, PlatformError } from '#kernel/errors';
import type { Service } from '#kernel/lifecycle';
import type { Clock } from '#kernel/time';
import type { HealthSource, HealthState } from '#monitoring/health';
import type { Logger } from '#monitoring/log';
import { Counter, Gauge, type Registry } from '#monitoring/metrics';
import { readCheckedJson, writeCheckedJson } from '#storage/checked_json';
import { DamagedFileError, onDisk } from '#storage/errors';
import { FolderLock } from '#storage/folder_lock';
import { createCircuit } from '../circuit.ts';
import { refusedInHalves } from '../delivery.ts';
import { PartitionLog } from '../disk_log/partition_log.ts';
import type { KeptRecord } from '../disk_log/record_payload.ts';
import type { SpoolConfig } from './config.ts';
import { SpoolFullError } from './errors.ts';
import type { RefuseSpooled } from './spooled_letters.ts';

export interface SpoolDeps {
  readonly producer: Producer;
  /** Takes what the broker refuses for good after it was accepted. */
  readonly refuse: RefuseSpooled;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Registry;
}

const SEGMENT_BYTES = 8 * 1024 * 1024;
const DRAINED_AT_ONCE = 500;
const TOPIC_HEADER = 'headwater-spool-topic';
const FAILURES_BEFORE_OPEN = 3;
const FIRST_RETRY_MS = 200;
const LONGEST_RETRY_MS = 5_000;
/** Offset of the first record that was not sent. */
const sentSchema = z.strictObject({ sent: z.string().regex(/^\d{1,15}$/) });
const SENT_REMEDY = 'delete the file: what is in the spool is sent again, and the pipeline drops events it has seen';
/** What a record takes beside its value, about. */
const RECORD_OVERHEAD_BYTES = 150;

/**
 * A producer that keeps records on disk while the broker is away. As long as anything waits there, everything goes there, so that order
 * is kept; it is sent when the broker is back, also by the next process. A send that timed out may have arrived all the same: records can
 * reach the broker twice, never not at all (the pipeline drops repeated event ids).
 */
export class SpoolingProducer implements Producer, Service, HealthSource {
  readonly name = 'spool';
  readonly kind = 'dependency';
  readonly #deps: SpoolDeps;
  readonly #config: SpoolConfig;
  readonly #log: Logger;
  readonly #spool: PartitionLog;
  readonly #send: (topic: string, records: readonly OutgoingRecord[]) => Promise<void>;
  readonly #stopped = new AbortController();
  readonly #gauges: {
    readonly waiting: Gauge;
    readonly bytes: Gauge;
    readonly spooled: Counter;
    readonly refused: Counter;
  };
  /** Offset of the first record that was not sent. */
  #sent = 0n;
  #bytes = 0;
  #draining: Promise<void> | undefined;
  #lock: FolderLock | undefined;
  #problem: string | undefined;
  /** Why the disk did not take the newest records. */
  #refusal: string | undefined;

  constructor(deps: SpoolDeps, config: SpoolConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#log = deps.log.child({ component: 'gateway.spool' });
    this.#spool = new PartitionLog(join(config.directory, 'records'), '0', {
      segmentBytes: SEGMENT_BYTES,
      syncEachWrite: true,
      log: this.#log,
      guard: () => this.#lock?.check(),
    });
    this.#gauges = createGauges(deps.metrics);
    const circuit = createCircuit(
      { log: this.#log, metrics: deps.metrics },
      {
        target: 'broker',
        failuresBeforeOpen: FAILURES_BEFORE_OPEN,
        isFailure: (error) =>
          error instanceof TaskCancelledError || (error instanceof PlatformError && error.retryable),
      },
    );
    const policy = wrap(circuit, timeout(config.sendTimeoutMs, TimeoutStrategy.Aggressive));
    this.#send = (topic, records) => policy.execute(() => deps.producer.send(topic, records));
  }

  /** What is wrong with the broker, when something is. */
  get problem(): string | undefined {
    return this.#problem;
  }

  state(): HealthState {
    if (this.#refusal !== undefined) return { status: 'down', reason: this.#refusal };
    if (this.waiting === 0 && this.#problem === undefined) return { status: 'up' };
    return {
      status: 'degraded',
      reason: `${this.waiting} records wait on disk: ${this.#problem ?? 'they are being sent'}`,
    };
  }

  get waiting(): number {
    return this.#spool.recordsFrom(this.#sent);
  }

  async start(): Promise<void> {
    this.#lock = await FolderLock.acquire(this.#config.directory);
    try {
      await this.#spool.open();
      this.#sent = await this.#readSent();
    } catch (error) {
      await this.stop();
      throw error;
    }
    if (this.waiting === 0) return;
    // A page at a time: there may be as much as the disk was given.
    for (let at = this.#sent; at < this.#spool.endOffset; ) {
      const records = await this.#spool.read(at, DRAINED_AT_ONCE);
      for (const record of records) this.#bytes += bytesOf(record);
      at = endAfter(records);
    }
    this.#log.warn({ waiting: this.waiting, bytes: this.#bytes }, 'spool.left_from_before');
    this.#drainInBackground();
  }

  async send(topic: string, records: readonly OutgoingRecord[]): Promise<void> {
    if (this.waiting > 0) return this.#keep(topic, records);
    try {
      await this.#send(topic, records);
      this.#problem = undefined;
    } catch (error) {
      const isAway =
        error instanceof TaskCancelledError ||
        error instanceof BrokenCircuitError ||
        (error instanceof PlatformError && error.retryable);
      if (!isAway) throw error;
      this.#problem = describe(error, this.#config.sendTimeoutMs);
      await this.#keep(topic, records);
    }
  }

  /** @throws {@link SpoolFullError} when it does not fit */
  async #keep(topic: string, records: readonly OutgoingRecord[]): Promise<void> {
    try {
      await this.#append(topic, records);
      this.#refusal = undefined;
    } catch (error) {
      this.#refusal = messageOf(error);
      throw error;
    }
  }

  /** @throws {@link SpoolFullError} when it does not fit */
  async #append(topic: string, records: readonly OutgoingRecord[]): Promise<void> {
    const bytes = records.reduce((sum, record) => sum + bytesOf(record), 0);
    if (this.#bytes + bytes > this.#config.maxBytes) {
      throw new SpoolFullError(this.#bytes, this.#config.maxBytes, this.#problem ?? 'it is being emptied');
    }
    this.#bytes += bytes;
    const marked = records.map((record) => ({ ...record, headers: { ...record.headers, [TOPIC_HEADER]: topic } }));
    try {
      await this.#spool.append(marked, this.#deps.clock.now());
    } catch (error) {
      // Nothing was written.
      this.#bytes -= bytes;
      throw error;
    }
    this.#gauges.spooled.inc(records.length);
    this.#report();
    this.#drainInBackground();
  }

  #drainInBackground(): void {
    this.#draining ??= this.#sendWaiting()
      .catch((error: unknown) => this.#log.error({ error }, 'spool.drain_failed'))
      .finally(() => {
        this.#draining = undefined;
        if (this.waiting > 0 && !this.#stopped.signal.aborted) this.#drainInBackground();
      });
  }

  async #sendWaiting(): Promise<void> {
    const { signal } = this.#stopped;
    for (let failures = 0; this.waiting > 0 && !signal.aborted; ) {
      try {
        const records = await this.#spool.read(this.#sent, DRAINED_AT_ONCE);
        await this.#sendByTopic(records);
        this.#sent = endAfter(records);
        this.#bytes -= records.reduce((sum, record) => sum + bytesOf(record), 0);
      } catch (error) {
        this.#problem = describe(error, this.#config.sendTimeoutMs);
        const delayMs = Math.min(FIRST_RETRY_MS * 2 ** failures, LONGEST_RETRY_MS) * (0.5 + Math.random() / 2);
        failures += 1;
        this.#log.warn({ error, waiting: this.waiting, delayMs: Math.round(delayMs) }, 'spool.broker_still_away');
        await sleep(delayMs, undefined, { signal }).catch(() => {});
        continue;
      }
      failures = 0;
      this.#problem = undefined;
      // There is room again.
      this.#refusal = undefined;
      await this.#forgetSent();
      this.#report();
    }
  }

  /** What was sent need not be kept. Failing at that, on a full disk, sends some records again after a restart, and loses none. */
  async #forgetSent(): Promise<void> {
    await this.#writeSent().catch((error: unknown) => this.#log.warn({ error }, 'spool.mark_not_written'));
    await this.#spool
      .discardBefore(this.#sent)
      .catch((error: unknown) => this.#log.warn({ error }, 'spool.sent_not_deleted'));
  }

  /** What the broker refuses for good goes to the dead letters, alone: it keeps nothing behind it. */
  async #sendByTopic(records: readonly KeptRecord[]): Promise<void> {
    const byTopic = new Map<string, LogRecord[]>();
    for (const { headers, isErased, ...record } of records) {
      if (isErased === true) continue;
      const { [TOPIC_HEADER]: topic = '', ...own } = headers;
      const batch = byTopic.get(topic);
      if (batch === undefined) byTopic.set(topic, [{ ...record, headers: own }]);
      else batch.push({ ...record, headers: own });
    }
    for (const [topic, batch] of byTopic) {
      const refused = await refusedInHalves(batch, (part) => this.#send(topic, part.map(outgoingOf)));
      for (const [index, error] of refused) {
        this.#gauges.refused.inc();
        this.#log.error({ error, topic }, 'spool.record_refused');
        await this.#deps.refuse(topic, batch[index] as LogRecord, error, this.#stopped.signal);
      }
    }
  }

  #report(): void {
    this.#gauges.waiting.set(this.waiting);
    this.#gauges.bytes.set(this.#bytes);
  }

  get #sentFile(): string {
    return join(this.#config.directory, 'sent.json');
  }

  async #readSent(): Promise<bigint> {
    const read = await readCheckedJson(this.#sentFile, sentSchema, { remedy: SENT_REMEDY });
    const sent = read === undefined ? await this.#readSentBefore() : BigInt(read.sent);
    if (sent > this.#spool.endOffset) {
      const problem = `it says that records before ${sent} were sent, and the spool ends at ${this.#spool.endOffset}`;
      throw new DamagedFileError(read === undefined ? this.#sentFileBefore : this.#sentFile, 0, problem, SENT_REMEDY);
    }
    return sent < this.#spool.startOffset ? this.#spool.startOffset : sent;
  }

  /** Of versions before 0.2: the number alone. */
  get #sentFileBefore(): string {
    return join(this.#config.directory, 'sent');
  }

  async #readSentBefore(): Promise<bigint> {
    const file = this.#sentFileBefore;
    const text = await onDisk(file, () =>
      readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return '0';
        throw error;
      }),
    );
    if (!/^\d{1,15}\s*$/.test(text)) throw new DamagedFileError(file, 0, 'it holds no number', SENT_REMEDY);
    return BigInt(text.trim());
  }

  /** Losing this in a crash sends some records again. */
  async #writeSent(): Promise<void> {
    this.#lock?.check();
    await writeCheckedJson(this.#sentFile, { sent: String(this.#sent) });
  }

  /** Sends what waits, as long as there is time; what is left is the next process's. */
  async drain(signal: AbortSignal): Promise<void> {
    while (this.waiting > 0 && !signal.aborted && this.#problem === undefined) {
      await sleep(10, undefined, { signal }).catch(() => {});
    }
    if (this.waiting > 0) this.#log.warn({ waiting: this.waiting }, 'spool.left_for_the_next_process');
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#draining;
    await this.#spool.close().catch((error: unknown) => this.#log.error({ error }, 'spool.close_failed'));
    await this.#lock?.release();
  }
}

const outgoingOf = ({ key, value, isTombstone, headers, timestampMs }: LogRecord): OutgoingRecord => ({
  key,
  value: isTombstone === true ? null : value,
  timestampMs,
  ...(Object.keys(headers).length === 0 ? {} : { headers }),
});

const endAfter = (records: readonly LogRecord[]): bigint => (records.at(-1) as LogRecord).offset + 1n;

const bytesOf = ({ key, value, headers }: OutgoingRecord | LogRecord): number =>
  RECORD_OVERHEAD_BYTES +
  (key?.length ?? 0) +
  (value?.length ?? 0) +
  (headers === undefined ? 0 : JSON.stringify(headers).length);

function describe(error: unknown, timeoutMs: number): string {
  if (error instanceof TaskCancelledError) return `the broker did not answer within ${timeoutMs} ms`;
  if (error instanceof BrokenCircuitError) return 'the broker has failed several times';
  return messageOf(error);
}

function createGauges(registry: Registry) {
  const registers = [registry];
  return {
    waiting: new Gauge({ name: 'spool_records', help: 'Records on disk, waiting for the broker', registers }),
    bytes: new Gauge({ name: 'spool_bytes', help: 'What waits on disk for the broker', registers }),
    spooled: new Counter({ name: 'spooled_records_total', help: 'Records that went to disk first', registers }),
    refused: new Counter({
      name: 'spool_refused_total',
      help: 'Records of the spool that the broker refused for good; they are dead letters',
      registers,
    }),
  };
}
