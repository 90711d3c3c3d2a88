import { messageOf } from '#kernel/errors';
import type { Service } from '#kernel/lifecycle';
import { type Clock, SECOND_MS } from '#kernel/time';
import { gaugeOf, type Registry } from './metrics.ts';

/** `degraded`: it works, or something stands in for it, and an operator should look at it. `down`: it does not do its work. */
export const HEALTH_STATUSES = ['up', 'starting', 'degraded', 'down'] as const;
export type HealthStatus = (typeof HEALTH_STATUSES)[number];

export interface HealthState {
  readonly status: HealthStatus;
  /** What is wrong, with its cause; undefined while it is up. */
  readonly reason?: string | undefined;
}

export const UP: HealthState = { status: 'up' };

/** A dependency of a role, or a job of its process, that knows how it does. */
export interface HealthSource {
  readonly name: string;
  readonly kind: 'dependency' | 'job';
  state(): HealthState;
}

export type HealthStates = ReadonlyMap<string, HealthState>;

/** What a role reports at GET /health/ready, and what of it makes the role not ready. */
export interface Health {
  /** Everything in the process that the role's users should know of. */
  readonly sources: readonly HealthSource[];
  /** Returns why the role cannot do its work; undefined while it can. @param states - by name of their source */
  notReady(states: HealthStates): string | undefined;
}

/** The role is not ready while any of these is down or starting. */
export function whenAnyIsDown(names: readonly string[]): Health['notReady'] {
  return (states) => {
    const reasons = names.flatMap((name) => problemOf(name, states) ?? []);
    return reasons.length === 0 ? undefined : reasons.join('; ');
  };
}

/** The role is not ready while all of these are down: each can stand in for the others. */
export function whenAllAreDown(names: readonly string[]): Health['notReady'] {
  return (states) => {
    const reasons = names.flatMap((name) => problemOf(name, states) ?? []);
    return reasons.length < names.length ? undefined : reasons.join('; ');
  };
}

/** The same with one more source, which the role needs. */
export function withSource(health: Health | undefined, source: HealthSource): Health {
  const isDown = whenAnyIsDown([source.name]);
  return {
    sources: [...(health?.sources ?? []), source],
    notReady: (states) => health?.notReady(states) ?? isDown(states),
  };
}

function problemOf(name: string, states: HealthStates): string | undefined {
  const state = states.get(name);
  if (state === undefined || state.status === 'up' || state.status === 'degraded') return undefined;
  return `${name} is ${state.status}${state.reason === undefined ? '' : `: ${state.reason}`}`;
}

interface Seen extends HealthState {
  readonly sinceMs: number;
}

/** What {@link HealthReporter.report} returns of a source. */
export interface ReportedState extends HealthState {
  /** Since when its status is what it is, RFC 3339. */
  readonly since: string;
}

export interface HealthReport {
  readonly status: 'ready' | 'degraded' | 'not ready';
  readonly reason?: string;
  readonly dependencies: Readonly<Record<string, ReportedState>>;
  readonly jobs: Readonly<Record<string, ReportedState>>;
}

/** Reads all sources of a role at once and remembers since when each is as it is. */
export class HealthReporter {
  readonly #health: Health;
  readonly #clock: Clock;
  readonly #seen = new Map<string, Seen>();

  constructor(health: Health, clock: Clock) {
    this.#health = health;
    this.#clock = clock;
  }

  /** @param notReady - what else keeps the role from work, such as draining */
  report(notReady?: string): HealthReport {
    const states = new Map<string, HealthState>();
    const groups: Record<HealthSource['kind'], Record<string, ReportedState>> = { dependency: {}, job: {} };
    for (const source of this.#health.sources) {
      const state = stateOf(source);
      states.set(source.name, state);
      groups[source.kind][source.name] = this.#reported(source.name, state);
    }
    const reason = notReady ?? this.#health.notReady(states);
    const isDegraded = [...states.values()].some(({ status }) => status !== 'up');
    return {
      status: reason !== undefined ? 'not ready' : isDegraded ? 'degraded' : 'ready',
      ...(reason === undefined ? {} : { reason }),
      dependencies: groups.dependency,
      jobs: groups.job,
    };
  }

  #reported(name: string, { status, reason }: HealthState): ReportedState {
    const seen = this.#seen.get(name);
    const sinceMs = seen?.status === status ? seen.sinceMs : this.#clock.now();
    this.#seen.set(name, { status, reason, sinceMs });
    return { status, ...(reason === undefined ? {} : { reason }), since: new Date(sinceMs).toISOString() };
  }
}

/** A source that throws is down: health must be answered whatever happens. */
function stateOf(source: HealthSource): HealthState {
  try {
    return source.state();
  } catch (error) {
    return { status: 'down', reason: `its state cannot be read: ${messageOf(error)}` };
  }
}

/** Adds `health_state{kind,name,state}` of each source: 1 for the state it is in, 0 for the others. */
export function reportHealthMetrics(registry: Registry, sources: readonly HealthSource[]): void {
  const gauge = gaugeOf(registry, {
    name: 'health_state',
    help: '1 for the state that a dependency or job is in: up, starting, degraded or down',
    labelNames: ['kind', 'name', 'state'],
    collect: () => {
      for (const source of sources) {
        const { status } = stateOf(source);
        for (const state of HEALTH_STATUSES)
          gauge.set({ kind: source.kind, name: source.name, state }, state === status ? 1 : 0);
      }
    },
  });
}

export interface ProbeSettings {
  readonly name: string;
  /** Rejects while the dependency does not work. */
  readonly check: (signal: AbortSignal) => Promise<void>;
  readonly everyMs?: number;
  readonly timeoutMs?: number;
  /** Names the kind of problem for `dependency_problem{problem}`: unreachable, read_only, full. */
  readonly problemOf?: (error: unknown) => string;
}

const EVERY_MS = 5 * SECOND_MS;
const TIMEOUT_MS = 4 * SECOND_MS;
/** A failed check is repeated sooner. */
const AGAIN_MS = SECOND_MS;
/** One lost packet does not make a dependency down. */
const FAILURES_BEFORE_DOWN = 2;

/** Checks a dependency at intervals, so that its state is known without traffic, and when it has come back. */
export class DependencyProbe implements HealthSource, Service {
  readonly kind = 'dependency';
  readonly name: string;
  readonly #settings: ProbeSettings;
  readonly #problems: (problem: string | undefined) => void;
  #state: HealthState = { status: 'starting', reason: 'it has not been checked yet' };
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = new AbortController();

  constructor({ metrics }: { readonly metrics: Registry }, settings: ProbeSettings) {
    this.name = settings.name;
    this.#settings = settings;
    const gauge = gaugeOf(metrics, {
      name: 'dependency_problem',
      help: '1 while a dependency is down, by what is wrong: unreachable, read_only, full, out_of_memory or refused',
      labelNames: ['dependency', 'problem'],
    });
    let last: string | undefined;
    this.#problems = (problem) => {
      if (last !== undefined && last !== problem) gauge.set({ dependency: this.name, problem: last }, 0);
      if (problem !== undefined) gauge.set({ dependency: this.name, problem }, 1);
      last = problem ?? last;
    };
  }

  state(): HealthState {
    return this.#state;
  }

  /** Resolves after the first check, whatever it finds. */
  async start(): Promise<void> {
    this.#stopped = new AbortController();
    await this.checkNow();
    this.#schedule();
  }

  #schedule(): void {
    if (this.#stopped.signal.aborted) return;
    const { everyMs = EVERY_MS } = this.#settings;
    const delayMs = this.#failures > 0 ? Math.min(AGAIN_MS, everyMs) : everyMs;
    this.#timer = setTimeout(() => void this.checkNow().then(() => this.#schedule()), delayMs);
    this.#timer.unref();
  }

  /** Never rejects. */
  async checkNow(): Promise<void> {
    const { check, timeoutMs = TIMEOUT_MS, problemOf: kindOf = () => 'unreachable' } = this.#settings;
    try {
      await within(timeoutMs, check);
      this.#failures = 0;
      this.#state = UP;
      this.#problems(undefined);
    } catch (error) {
      this.#failures += 1;
      const reason = messageOf(error);
      const problem = kindOf(error);
      // A store that answers that it refuses is not a matter of a lost packet.
      const isDown = problem !== 'unreachable' || this.#failures >= FAILURES_BEFORE_DOWN;
      this.#state = { status: isDown ? 'down' : 'degraded', reason };
      if (isDown) this.#problems(problem);
    }
  }

  async drain(): Promise<void> {}

  async stop(): Promise<void> {
    this.#stopped.abort();
    clearTimeout(this.#timer);
  }
}

/** Stops waiting when the time is up, also for a check that ignores its signal. */
async function within(timeoutMs: number, check: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const signal = AbortSignal.timeout(timeoutMs);
  let onTimeout = (): void => {};
  const tooLate = new Promise<never>((_, reject) => {
    onTimeout = () => reject(new Error(`no answer within ${timeoutMs} ms`));
    signal.addEventListener('abort', onTimeout, { once: true });
  });
  try {
    await Promise.race([check(signal), tooLate]);
  } finally {
    signal.removeEventListener('abort', onTimeout);
  }
}
