import { setTimeout as delay } from 'node:timers/promises';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { Service } from '#kernel/lifecycle';
import type { Logger } from '#monitoring/log';
import { markLineageSent, unsentLineage } from './lineage_store.ts';
import { type LineageTargets, lineageEvents, sendLineage } from './open_lineage.ts';

export interface LineageSettings extends LineageTargets {
  readonly namespace: string;
  /** Pause between looks, ms. */
  readonly everyMs?: number;
}

const EVERY_MS = 5_000;
const MOST_RUNS = 100;

/** Sends the OpenLineage events of every run that has ended, whatever ended it. After a crash, or while the address is away, events come again: their ids are the same. */
export class LineageSender implements Service {
  readonly name = 'lineage of workflows';
  readonly #sql: SqlExecutor;
  readonly #log: Logger;
  readonly #settings: LineageSettings;
  #stopping = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor({ sql, log }: { readonly sql: SqlExecutor; readonly log: Logger }, settings: LineageSettings) {
    this.#sql = sql;
    this.#log = log.child({ component: 'workflows.lineage' });
    this.#settings = settings;
  }

  async start(): Promise<void> {
    this.#stopping = new AbortController();
    this.#loop = this.#run(this.#stopping.signal);
  }

  async drain(): Promise<void> {
    await this.stop();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const sent = await this.sendDue().catch((error: unknown) => {
        this.#log.warn({ error }, 'workflows.lineage_failed');
        return 0;
      });
      if (sent < MOST_RUNS) {
        await delay(this.#settings.everyMs ?? EVERY_MS, undefined, { signal }).catch(() => {});
      }
    }
  }

  /** Sends what was not sent yet. @returns of how many runs */
  async sendDue(): Promise<number> {
    const runs = await unsentLineage(this.#sql, MOST_RUNS);
    for (const run of runs) {
      await sendLineage(lineageEvents(run, this.#settings.namespace), this.#settings);
      await markLineageSent(this.#sql, run);
    }
    return runs.length;
  }
}
