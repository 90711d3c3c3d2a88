import { withinDeadline } from '#kernel/deadline';
import type { Logger } from './log.ts';
import { type Counter, counterOf, type Registry } from './metrics.ts';

type Outcome = 'sent' | 'failed' | 'skipped';

/** How long the last export of a process may take, ms. */
const LAST_EXPORT_MS = 2_000;

/**
 * Sends metrics at an interval. One export is under way at a time: while a receiver does not answer, the exports that are due are skipped and counted, so
 * that none of them waits in memory. The first failure of an outage is logged as a warning, its end as information.
 */
export class PeriodicExport {
  readonly #exporter: string;
  readonly #log: Logger;
  readonly #exports: Counter<'exporter' | 'outcome'>;
  readonly #send: () => Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #underWay: Promise<void> | undefined;
  #isFailing = false;

  /** @param send - sends what the metrics are now; rejects when it was not taken */
  constructor(
    exporter: string,
    deps: { readonly log: Logger; readonly metrics: Registry; readonly send: () => Promise<void> },
  ) {
    this.#exporter = exporter;
    this.#log = deps.log;
    this.#send = deps.send;
    this.#exports = counterOf(deps.metrics, {
      name: 'metric_exports_total',
      help: 'Exports of metrics, by exporter and outcome: sent, failed, or skipped because the one before was under way',
      labelNames: ['exporter', 'outcome'],
    });
  }

  start(intervalMs: number): void {
    this.#timer = setInterval(() => {
      if (this.#underWay === undefined) void this.#run();
      else this.#count('skipped');
    }, intervalMs);
    this.#timer.unref();
  }

  /** Sends what the metrics are now, after the export that is under way; never rejects. */
  async flush(): Promise<void> {
    await this.#underWay;
    await this.#run();
  }

  /** Ends the interval, and sends once more: within two seconds, so that a receiver that is away does not hold up the end. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await withinDeadline('the last export of metrics', LAST_EXPORT_MS, this.flush()).catch((error: unknown) =>
      this.#log.warn({ error }, 'export.failed'),
    );
  }

  #run(): Promise<void> {
    this.#underWay = this.#send().then(
      () => {
        this.#count('sent');
        if (this.#isFailing) this.#log.info({}, 'export.recovered');
        this.#isFailing = false;
      },
      (error: unknown) => {
        this.#count('failed');
        if (!this.#isFailing) this.#log.warn({ error }, 'export.failed');
        this.#isFailing = true;
      },
    );
    return this.#underWay.finally(() => {
      this.#underWay = undefined;
    });
  }

  #count(outcome: Outcome): void {
    this.#exports.inc({ exporter: this.#exporter, outcome });
  }
}
