import type { Service } from '#kernel/lifecycle';
import type { Logger } from '#monitoring/log';
import { Gauge, type Registry } from '#monitoring/metrics';
import { AuditTrailChangedError } from '../errors.ts';
import type { AuditAnchors } from './audit_anchors.ts';

interface Deps {
  readonly anchors: AuditAnchors;
  readonly log: Logger;
  readonly metrics: Registry;
}

/** Anchors the audit trail again and again; a trail that was changed raises a metric and is anchored no more. */
export class AuditAnchorWriter implements Service {
  readonly name = 'anchors of the audit trail';
  readonly #anchors: AuditAnchors;
  readonly #everyMs: number;
  readonly #log: Logger;
  readonly #entries: Gauge;
  readonly #changed: Gauge;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor({ anchors, log, metrics }: Deps, everyMs: number) {
    this.#anchors = anchors;
    this.#everyMs = everyMs;
    this.#log = log.child({ component: 'feature_store.audit' });
    this.#entries = new Gauge({
      name: 'audit_trail_anchored_entries',
      help: 'Entries of the audit trail whose hashes are kept outside the database',
      registers: [metrics],
    });
    this.#changed = new Gauge({
      name: 'audit_trail_changed',
      help: '1 when an anchored entry of the audit trail is another in the database now, or gone',
      registers: [metrics],
    });
  }

  async start(): Promise<void> {
    await this.#anchorOnce();
    this.#timer = setInterval(() => {
      this.#running = this.#running.then(() => this.#anchorOnce());
    }, this.#everyMs);
    this.#timer.unref();
  }

  async #anchorOnce(): Promise<void> {
    try {
      this.#entries.set(await this.#anchors.anchor());
      this.#changed.set(0);
    } catch (error) {
      const isChanged = error instanceof AuditTrailChangedError;
      if (isChanged) this.#changed.set(1);
      this.#log[isChanged ? 'error' : 'warn']({ error }, isChanged ? 'audit.trail_changed' : 'audit.not_anchored');
    }
  }

  /** What was added last is anchored too. */
  async drain(): Promise<void> {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#running;
    await this.#anchorOnce();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }
}
