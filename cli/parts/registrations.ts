import { join } from 'node:path';
import { messageOf } from '#kernel/errors';
import type { Service } from '#kernel/lifecycle';
import type { Logger } from '#monitoring/log';
import { RegistryUnavailableError } from '#registry/errors';
import type { ModelRegistry } from '#registry/model_registry';
import { RegistrationQueue } from '#registry/registration_queue';
import type { PlatformConfig } from '../project/config/platform_config.ts';

export const registrationQueue = ({ dataDirectory }: Pick<PlatformConfig, 'dataDirectory'>): RegistrationQueue =>
  new RegistrationQueue(join(dataDirectory, 'registrations'));

const RETRY_MS = 15_000;

/** Registers what was trained while the registry was away, as soon as it answers again. */
export class PendingRegistrations implements Service {
  readonly name = 'pending registrations';
  readonly #queue: RegistrationQueue;
  readonly #registry: ModelRegistry;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #draining: Promise<void> = Promise.resolve();

  constructor(queue: RegistrationQueue, deps: { readonly registry: ModelRegistry; readonly log: Logger }) {
    this.#queue = queue;
    this.#registry = deps.registry;
    this.#log = deps.log.child({ component: 'registrations' });
  }

  async start(): Promise<void> {
    this.#draining = this.#drain();
    this.#timer = setInterval(() => {
      this.#draining = this.#draining.then(() => this.#drain());
    }, RETRY_MS);
    this.#timer.unref();
  }

  async #drain(): Promise<void> {
    try {
      await this.#queue.drain(this.#registry, ({ pending, outcome }) => {
        if ('version' in outcome) {
          this.#log.info({ model: pending.name, version: outcome.version.version }, 'model.registered');
        } else this.#log.error({ model: pending.name, ...outcome }, 'model.registration_refused');
      });
    } catch (error) {
      const level = error instanceof RegistryUnavailableError ? 'debug' : 'warn';
      this.#log[level]({ reason: messageOf(error) }, 'registrations.wait');
    }
  }

  async drain(): Promise<void> {
    clearInterval(this.#timer);
    await this.#draining;
  }

  async stop(): Promise<void> {}
}
