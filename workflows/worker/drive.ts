import { randomUUID } from 'node:crypto';
import type { SqlStatement } from '#feature_store/database/sql_executor';
import { OfflineStoreError } from '#feature_store/errors';
import { messageOf } from '#kernel/errors';
import type { JsonObject, JsonValue } from '#kernel/json';
import { machineAt, type StateMachine, taskOf } from '../document/document.ts';
import type { Decision, Failure } from '../interpreter/decision.ts';
import { afterFailure, afterResult, afterWait, enterState, type Position } from '../interpreter/interpret.ts';
import type { Due, FrameEvent, HeldFrame, Phase } from '../store/frame.ts';
import type { FrameStore, NewBranch } from '../store/frame_store.ts';
import type { TaskValues, WrittenRows } from '../tasks/task.ts';
import type { TaskRegistry } from '../tasks/task_registry.ts';
import { type RunInProcess, runTask } from './run_task.ts';
import type { TaskLog } from './task_log.ts';
import { endStep, startStep } from './trace_steps.ts';

export interface DriveDeps {
  readonly frames: FrameStore;
  readonly tasks: TaskRegistry;
  readonly runInProcess: RunInProcess;
  readonly values: TaskValues;
  readonly logOf: (frame: HeldFrame, state: string, attempt: number) => TaskLog;
  /** Frames that are due now: branches, or the state that waits for one. */
  readonly onDue: () => void;
  readonly onEnd?: (frame: HeldFrame, status: 'succeeded' | 'failed') => void;
  readonly onTask?: (task: string, seconds: number, isFailure: boolean) => void;
  /** Called once the result of the task that has written them is recorded. */
  readonly onWritten?: (written: WrittenRows) => void;
}

/** States that only compute follow each other in memory; so many at most until they are committed. */
const MOST_UNCOMMITTED = 50;
/** Of one machine: a loop that never waits ends with an error. */
export const MOST_STEPS = 25_000;
/** A step whose worker was lost so often is failed. */
export const MOST_CLAIMS = 20;
const JOIN_AGAIN_MS = 1_000;
const MOST_CAUSE_CHARS = 2_000;

/** Moves a frame from state to state until it waits or ends. Each move is one transaction, which only the holder of the newest lease may commit. */
export class Drive {
  readonly #deps: DriveDeps;
  readonly #frame: HeldFrame;
  readonly #machine: StateMachine;
  readonly #signal: AbortSignal;
  #state: string;
  #phase: Phase;
  #step: number;
  #attempts: Record<string, number>;
  #retries: readonly number[];
  #input: JsonValue;
  #enteredAt: string;
  #token: string | null;
  /** How long the attempt had run when the frame was taken, ms. */
  #runningMs: number;
  #events: FrameEvent[] = [];
  #effects: readonly SqlStatement[] = [];
  #written: readonly WrittenRows[] = [];
  /** Whether the frame in the database is behind. */
  #isDirty = false;
  /** Whether a state or attempt began since the last commit. */
  #begins = false;
  #uncommitted = 0;

  constructor(deps: DriveDeps, frame: HeldFrame, signal: AbortSignal) {
    this.#deps = deps;
    this.#frame = frame;
    this.#signal = signal;
    this.#machine = machineAt(frame.document, frame.machine);
    this.#state = frame.state;
    this.#phase = frame.phase;
    this.#step = frame.step;
    this.#attempts = { [frame.state]: 1, ...frame.attempts };
    this.#retries = frame.retries;
    this.#input = frame.input;
    this.#enteredAt = frame.enteredAt;
    this.#token = frame.token;
    this.#runningMs = frame.runningMs;
  }

  /** @throws {@link LeaseLostError}; errors of the database, after which the frame's lease runs out and it is taken again */
  async run(): Promise<void> {
    let decision = await this.#first();
    while (decision !== undefined) decision = await this.#apply(decision);
  }

  get #attempt(): number {
    return this.#attempts[this.#state] as number;
  }

  get #position(): Position {
    const { runId, workflow, runInput, runStartedAt, item } = this.#frame;
    const context = {
      Execution: { Id: runId, Name: runId, Input: runInput, StartTime: runStartedAt },
      State: { Name: this.#state, EnteredTime: this.#enteredAt, RetryCount: this.#retries.reduce((a, b) => a + b, 0) },
      StateMachine: { Id: workflow, Name: workflow },
      ...(this.#token === null ? {} : { Task: { Token: this.#token } }),
      ...(item === null ? {} : { Map: { Item: item } }),
    };
    return {
      machine: this.#machine,
      state: this.#state,
      input: this.#input,
      context: context as unknown as JsonObject,
      retriesUsed: this.#retries,
    };
  }

  /** What the frame was taken for. @returns undefined when it has to wait on */
  async #first(): Promise<Decision | undefined> {
    const { claims, answer, isTokenLate } = this.#frame;
    if (claims > MOST_CLAIMS) {
      const cause = `the step was begun ${MOST_CLAIMS} times, and each time its worker ended before it did`;
      return this.#failed({ error: 'Workflow.WorkerLost', cause });
    }
    if (this.#phase === 'wait') return afterWait(this.#position);
    if (this.#phase === 'join') return this.#joined();
    if (this.#phase !== 'token') return this.#enter();
    if (answer !== null) {
      if ('output' in answer) return this.#succeeded(answer.output);
      return this.#failed(answer);
    }
    const late = isTokenLate ? 'States.Timeout' : 'States.HeartbeatTimeout';
    return this.#failed({ error: late, cause: `state "${this.#state}" got no answer in time` });
  }

  #enter(): Decision {
    const needsToken = this.#isTokenState();
    if (needsToken && this.#token === null) {
      // In the database before anything else has it.
      this.#token = randomUUID();
      this.#isDirty = true;
    }
    return enterState(this.#position);
  }

  #isTokenState(): boolean {
    const state = this.#machine.States[this.#state];
    return state?.Type === 'Task' && taskOf(state.Resource).waitsForToken;
  }

  #succeeded(output: JsonValue): Decision {
    this.#record('state_succeeded', { output });
    return afterResult(this.#position, output);
  }

  #failed({ error, cause }: Failure): Decision {
    this.#record('state_failed', { error, cause });
    return afterFailure(this.#position, { error, cause });
  }

  #record(kind: string, detail: JsonValue): void {
    this.#events.push({ state: this.#state, attempt: this.#attempt, kind, detail });
  }

  async #joined(): Promise<Decision | undefined> {
    const branches = await this.#deps.frames.branchesOf(this.#frame);
    const failed = branches.find(({ status }) => status === 'failed');
    if (failed !== undefined) {
      await this.#deps.frames.cancelBranches(this.#frame);
      return this.#failed({ error: failed.error ?? '', cause: failed.cause ?? '' });
    }
    const open = branches.filter(({ status }) => status !== 'succeeded').length;
    if (open === 0) return this.#succeeded(branches.map(({ output }) => output));
    await this.#commit('join', { kind: 'in', ms: JOIN_AGAIN_MS }, { pending: open });
    return undefined;
  }

  /** @returns the decision that follows; undefined when the frame waits or has ended */
  async #apply(decision: Decision): Promise<Decision | undefined> {
    switch (decision.kind) {
      case 'next':
        return this.#goTo(decision.state, decision.input, decision.caught);
      case 'task':
        return this.#runTask(decision);
      case 'wait':
        await this.#wait({ kind: 'in', ms: decision.forMs });
        return undefined;
      case 'wait_until':
        await this.#wait({ kind: 'until', ms: decision.untilMs });
        return undefined;
      case 'retry':
        this.#attempts[this.#state] = this.#attempt + 1;
        this.#retries = decision.used;
        // Branches of the attempt before keep their paths.
        if (this.#machine.States[this.#state]?.Type !== 'Task') this.#step += 1;
        this.#token = null;
        this.#begins = true;
        this.#record('retry_scheduled', { delayMs: decision.delayMs, error: decision.failure.error });
        await this.#commit('enter', { kind: 'in', ms: decision.delayMs });
        return undefined;
      case 'fork':
        await this.#fork(decision);
        return undefined;
      case 'succeed':
        this.#record('state_exited', { output: decision.output });
        await this.#end({ output: decision.output });
        return undefined;
      case 'fail':
        await this.#end({ failure: decision.failure });
        return undefined;
    }
  }

  async #goTo(state: string, input: JsonValue, caught: Failure | undefined): Promise<Decision> {
    this.#record('state_exited', caught === undefined ? { next: state } : { next: state, caught: caught.error });
    this.#state = state;
    this.#phase = 'enter';
    this.#step += 1;
    this.#attempts[state] = (this.#attempts[state] ?? 0) + 1;
    this.#retries = [];
    this.#input = input;
    this.#enteredAt = new Date().toISOString();
    this.#token = null;
    this.#begins = true;
    this.#isDirty = true;
    this.#runningMs = 0;
    this.#record('state_entered', { input });
    if (this.#step > MOST_STEPS) {
      const cause = `the machine has entered ${MOST_STEPS} states; split the work into several runs`;
      return { kind: 'fail', failure: { error: 'States.Runtime', cause } };
    }
    this.#uncommitted += 1;
    if (this.#uncommitted >= MOST_UNCOMMITTED) await this.#commit('enter', { kind: 'hold' });
    return this.#enter();
  }

  async #runTask(decision: Extract<Decision, { readonly kind: 'task' }>): Promise<Decision | undefined> {
    const task = this.#deps.tasks.get(decision.task);
    if (task === undefined) {
      // A worker that has the task takes the frame.
      await this.#commit('enter', { kind: 'in', ms: 0 });
      this.#deps.onDue();
      return undefined;
    }
    if (this.#isDirty) await this.#commit('enter', { kind: 'hold' });
    const { runId, path, workflow } = this.#frame;
    const [state, attempt] = [this.#state, this.#attempt];
    const log = this.#deps.logOf(this.#frame, state, attempt);
    const timeoutMs = decision.timeoutMs === undefined ? undefined : decision.timeoutMs - this.#runningMs;
    const begun = performance.now();
    const span = startStep(runId, { workflow, state, attempt, task: task.id });
    const result = await runTask(
      task,
      decision.input,
      {
        ...{ run: runId, path, workflow, state, attempt, token: this.#token ?? undefined },
        idempotencyKey: `${runId}:${path === '' ? '' : `${path}/`}${state}:${attempt}`,
        log: (line) => log.write('log', line),
        values: this.#deps.values,
      },
      { timeoutMs, heartbeatMs: decision.waitsForToken ? undefined : decision.heartbeatMs },
      this.#signal,
      this.#deps.runInProcess,
    );
    endStep(span, 'error' in result ? result : undefined);
    await log.end();
    // Cancelled, or taken over: another one decides.
    if (this.#signal.aborted) return undefined;
    this.#deps.onTask?.(task.id, (performance.now() - begun) / 1_000, 'error' in result);
    if ('error' in result) return this.#failed(result);
    this.#effects = result.effects;
    this.#written = result.written;
    if (decision.waitsForToken) {
      this.#record('token_waiting', { token: this.#token });
      const { timeoutMs: tokenTimeoutMs, heartbeatMs } = decision;
      return this.#withEffects(async () => {
        await this.#commit('token', { kind: 'token' }, { tokenTimeoutMs, heartbeatMs });
        return undefined;
      });
    }
    if (result.effects.length === 0) return this.#succeeded(result.output);
    return this.#withEffects(() => this.#commitResult(result.output));
  }

  /** Commits the statements of a task with what follows its result. */
  async #commitResult(output: JsonValue): Promise<Decision | undefined> {
    const next = this.#succeeded(output);
    if (next.kind === 'succeed') return this.#apply(next);
    if (next.kind === 'next' && next.caught === undefined) {
      const entered = await this.#goTo(next.state, next.input, undefined);
      await this.#commit('enter', { kind: 'hold' });
      return entered;
    }
    // Its result was refused.
    this.#effects = [];
    this.#written = [];
    return next;
  }

  /** Fails the state when the database refuses the statements of its task; other errors are thrown. */
  async #withEffects(commit: () => Promise<Decision | undefined>): Promise<Decision | undefined> {
    const before = {
      ...{ state: this.#state, step: this.#step, attempts: { ...this.#attempts }, retries: this.#retries },
      ...{ input: this.#input, token: this.#token, enteredAt: this.#enteredAt, events: [...this.#events] },
    };
    const hadEffects = this.#effects.length > 0;
    try {
      return await commit();
    } catch (error) {
      if (!hadEffects || !(error instanceof OfflineStoreError) || error.failure === 'transient') throw error;
      this.#effects = [];
      this.#written = [];
      this.#state = before.state;
      this.#step = before.step;
      this.#attempts = before.attempts;
      this.#retries = before.retries;
      this.#input = before.input;
      this.#token = before.token;
      this.#enteredAt = before.enteredAt;
      this.#events = before.events;
      this.#isDirty = false;
      return this.#failed({ error: 'Workflow.SqlFailed', cause: messageOf(error).slice(0, MOST_CAUSE_CHARS) });
    }
  }

  async #wait(due: Due): Promise<void> {
    this.#record(
      'waiting',
      due.kind === 'until' ? { until: new Date(due.ms).toISOString() } : { ms: (due as { ms: number }).ms },
    );
    await this.#commit('wait', due);
  }

  async #fork({ branches, maxConcurrency }: Extract<Decision, { readonly kind: 'fork' }>): Promise<void> {
    const { frames, onDue } = this.#deps;
    const { path, machine, document } = this.#frame;
    const below = branches.map((branch, index): NewBranch => {
      const { StartAt: state, States } = machineAt(document, [...machine, ...branch.pointer]);
      const first = States[state];
      const task = first?.Type === 'Task' ? taskOf(first.Resource).task : null;
      return { ...branch, state, task, path: `${path === '' ? '' : `${path}/`}${this.#step}.${this.#state}[${index}]` };
    });
    this.#record('forked', { branches: branches.length });
    await frames.fork(this.#frame, this.#moveTo('join', { kind: 'never' }), below, maxConcurrency);
    onDue();
  }

  async #end(end: { readonly output: JsonValue } | { readonly failure: Failure }): Promise<void> {
    const { frames, onDue, onEnd } = this.#deps;
    // A redrive begins at the state that failed.
    if ('failure' in end && this.#isDirty) await this.#commit('enter', { kind: 'hold' });
    const status = 'failure' in end ? 'failed' : 'succeeded';
    const isRun = this.#frame.parentPath === null;
    const kind = `${isRun ? 'run' : 'branch'}_${status}`;
    const detail = 'failure' in end ? { ...end.failure } : { output: end.output };
    this.#events.push({ state: this.#state, kind, detail });
    await frames.end(this.#frame, end, this.#events, this.#effects);
    this.#reportWritten();
    if (isRun) onEnd?.(this.#frame, status);
    if (!isRun || this.#frame.isLimited) onDue();
  }

  #moveTo(phase: Phase, due: Due): Parameters<FrameStore['move']>[1] {
    const state = this.#machine.States[this.#state];
    return {
      ...{
        state: this.#state,
        phase,
        step: this.#step,
        attempts: this.#attempts,
        retries: this.#retries,
        input: this.#input,
      },
      task: phase === 'enter' && state?.Type === 'Task' ? taskOf(state.Resource).task : null,
      ...{ due, begins: this.#begins, token: this.#token, events: this.#events },
    };
  }

  async #commit(phase: Phase, due: Due, more: Partial<Parameters<FrameStore['move']>[1]> = {}): Promise<void> {
    await this.#deps.frames.move(this.#frame, { ...this.#moveTo(phase, due), ...more }, this.#effects);
    this.#reportWritten();
    this.#events = [];
    this.#effects = [];
    this.#isDirty = false;
    this.#begins = false;
    this.#uncommitted = 0;
  }

  #reportWritten(): void {
    for (const each of this.#written) this.#deps.onWritten?.(each);
    this.#written = [];
  }
}
