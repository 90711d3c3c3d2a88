import { PlatformError } from '#kernel/errors';
import type { Logger } from '#monitoring/log';
import { Counter, type Registry } from '#monitoring/metrics';
import { ModelFailingError } from '../errors.ts';
import type { LoadedModel } from '../models/loaded_model.ts';
import type { ActiveModel } from '../models/model_slot.ts';

const FAILURES_BEFORE_OPEN = 5;
const HALF_OPEN_AFTER_MS = 1_000;

interface Circuit {
  failures: number;
  /** Of the newest failure: requests that ran in one batch share it. */
  error: unknown;
  retryAtMs: number;
}

/**
 * Leaves a version alone whose graph has failed so many times in a row: requests are refused at once, and after a second one of them tries it again. Versions that
 * do not fail cost one look-up.
 */
export class ModelCircuits {
  readonly #failing = new WeakMap<LoadedModel, Circuit>();
  readonly #log: Logger;
  readonly #opened: Counter<'model'>;

  constructor({ log, metrics }: { readonly log: Logger; readonly metrics: Registry }) {
    this.#log = log;
    this.#opened = new Counter({
      name: 'model_circuit_opened_total',
      help: 'Times that a version was left alone for a second because it had failed again and again',
      labelNames: ['model'],
      registers: [metrics],
    });
  }

  /** @throws {@link ModelFailingError} while the version is left alone */
  check({ model, name, version }: ActiveModel): void {
    const circuit = this.#failing.get(model);
    if (circuit === undefined || circuit.failures < FAILURES_BEFORE_OPEN) return;
    const nowMs = performance.now();
    if (nowMs < circuit.retryAtMs) throw new ModelFailingError(name, version);
    // This request tries; others wait for what becomes of it.
    circuit.retryAtMs = nowMs + HALF_OPEN_AFTER_MS;
  }

  succeed({ model, name, version }: ActiveModel): void {
    const circuit = this.#failing.get(model);
    if (circuit === undefined) return;
    this.#failing.delete(model);
    if (circuit.failures >= FAILURES_BEFORE_OPEN) this.#log.info({ model: name, version }, 'model.circuit_closed');
  }

  /** @param error - what the graph has thrown; deadlines, overload and versions that were stopped are counted elsewhere */
  fail({ model, name, version }: ActiveModel, error: unknown): void {
    if (error instanceof PlatformError) return;
    const circuit = this.#failing.get(model) ?? { failures: 0, error: undefined, retryAtMs: 0 };
    if (circuit.error === error) return;
    circuit.failures += 1;
    circuit.error = error;
    circuit.retryAtMs = performance.now() + HALF_OPEN_AFTER_MS;
    this.#failing.set(model, circuit);
    if (circuit.failures < FAILURES_BEFORE_OPEN) return;
    this.#opened.inc({ model: name });
    this.#log.error({ model: name, version, error }, 'model.circuit_open');
  }
}
