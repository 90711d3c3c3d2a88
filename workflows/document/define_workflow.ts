import type { JsonValue } from '#kernel/json';
import type { ChoiceRule } from '../language/choice.ts';
import type { Retrier } from '../language/retry.ts';
import type { TaskDefinition } from '../tasks/task.ts';
import { checkDocument } from './check_document.ts';
import type { StateMachine, WorkflowDocument } from './document.ts';
import { checkSettings, type WorkflowSettings } from './settings.ts';

/** A workflow of a project: its document and how it is run. */
export interface WorkflowDefinition {
  readonly kind: 'workflow';
  readonly name: string;
  readonly document: WorkflowDocument;
  readonly settings: WorkflowSettings;
  /** Tasks that its steps were built with. */
  readonly tasks: readonly TaskDefinition[];
}

type Raw = Record<string, unknown>;

/** States under construction, and the ends that the next state is linked to. */
interface Draft {
  readonly states: Record<string, Raw>;
  readonly tasks: TaskDefinition[];
  start: string | undefined;
}
/** Links an open end to the state that follows; undefined: the machine ends there. */
type Link = (next: string | undefined) => void;

export interface TaskOptions<As extends string | undefined = undefined> {
  readonly retry?: readonly Retrier[];
  readonly timeoutSeconds?: number;
  readonly heartbeatSeconds?: number;
  /** Keeps the step's input, and adds the result as this field. */
  readonly as?: As;
  /** Fields of the task's input, in place of the whole input; names that end in `.$` hold paths. */
  readonly parameters?: Readonly<Record<string, JsonValue>>;
  /** What follows errors of these names; its input is the step's with the field `error`. */
  readonly catch?: Readonly<
    Record<
      string,
      (flow: Flow<{ readonly error: { readonly Error: string; readonly Cause: string } }>) => Flow<unknown>
    >
  >;
}

/** The value after a step that adds its result as a field. */
export type Added<In, As extends string | undefined, Out> = As extends string ? In & { readonly [K in As]: Out } : Out;

/** Steps that have been added so far; `Value` is what the last of them passes on. */
export class Flow<Value> {
  readonly #draft: Draft;
  readonly #links: readonly Link[];
  declare readonly value: Value;

  constructor(draft: Draft, links: readonly Link[]) {
    this.#draft = draft;
    this.#links = links;
  }

  #add<Out>(name: string, state: Raw): Flow<Out> {
    if (Object.hasOwn(this.#draft.states, name)) throw new TypeError(`two states are called "${name}"`);
    this.#draft.states[name] = state;
    for (const link of this.#links) link(name);
    return new Flow<Out>(this.#draft, [linkOf(state)]);
  }

  /** Runs a task with the value so far, or with `parameters`. */
  task<Out, const As extends string | undefined = undefined>(
    name: string,
    task: TaskDefinition<Value, Out>,
    options?: TaskOptions<As> & { readonly parameters?: undefined },
  ): Flow<Added<Value, As, Awaited<Out>>>;
  task<Out, const As extends string | undefined = undefined>(
    name: string,
    task: TaskDefinition<never, Out>,
    options: TaskOptions<As> & { readonly parameters: Readonly<Record<string, JsonValue>> },
  ): Flow<Added<Value, As, Awaited<Out>>>;
  task(name: string, task: TaskDefinition<never, unknown>, options: TaskOptions<string | undefined> = {}): Flow<never> {
    this.#draft.tasks.push(task);
    return this.#step(name, task.id, options);
  }

  /** Waits for an answer: `headwater workflows approve`, the API, or another system that was given the token. */
  approval<const As extends string | undefined = undefined>(
    name: string,
    options: TaskOptions<As> = {},
  ): Flow<Added<Value, As, { readonly approved: boolean; readonly by: string; readonly reason: string }>> {
    return this.#step(name, 'approval.waitForTaskToken', options);
  }

  #step<Out>(name: string, resource: string, options: TaskOptions<string | undefined>): Flow<Out> {
    const { retry, timeoutSeconds, heartbeatSeconds, as, parameters, catch: caught = {} } = options;
    const catchers: Raw[] = [];
    const added = this.#add<Out>(name, {
      Type: 'Task',
      Resource: resource,
      ...(parameters === undefined ? {} : { Parameters: parameters }),
      ...(timeoutSeconds === undefined ? {} : { TimeoutSeconds: timeoutSeconds }),
      ...(heartbeatSeconds === undefined ? {} : { HeartbeatSeconds: heartbeatSeconds }),
      ...(as === undefined ? {} : { ResultPath: `$.${as}` }),
      ...(retry === undefined ? {} : { Retry: retry }),
      ...(Object.keys(caught).length === 0 ? {} : { Catch: catchers }),
    });
    for (const [error, handle] of Object.entries(caught)) {
      const catcher: Raw = { ErrorEquals: [error], ResultPath: '$.error' };
      catchers.push(catcher);
      const link: Link = (next) => void Object.assign(catcher, { Next: next });
      handle(new Flow(this.#draft, [link])).#close();
    }
    return added;
  }

  /** Passes a fixed value on, or fields of the value so far. */
  pass<Out>(
    name: string,
    fields: { readonly result?: Out; readonly parameters?: Readonly<Record<string, JsonValue>> },
  ): Flow<Out> {
    return this.#add<Out>(name, {
      Type: 'Pass',
      ...(fields.result === undefined ? {} : { Result: fields.result }),
      ...(fields.parameters === undefined ? {} : { Parameters: fields.parameters }),
    });
  }

  wait(name: string, seconds: number): Flow<Value> {
    return this.#add<Value>(name, { Type: 'Wait', Seconds: seconds });
  }

  /** Takes the first branch whose rule holds, else the last one; what follows this step follows all branches that have not ended. */
  choice<A, B>(
    name: string,
    rules: readonly (readonly [ChoiceRule, (flow: Flow<Value>) => Flow<A>])[],
    otherwise: (flow: Flow<Value>) => Flow<B>,
  ): Flow<A | B> {
    const state: Raw = { Type: 'Choice', Choices: rules.map(([rule]) => ({ ...rule })) };
    this.#add<Value>(name, state);
    const ends = rules.map(([, branch], index) => {
      const rule = (state.Choices as Raw[])[index] as Raw;
      return branch(new Flow<Value>(this.#draft, [(next) => void Object.assign(rule, { Next: next })])) as Flow<A | B>;
    });
    const last = otherwise(new Flow<Value>(this.#draft, [(next) => void Object.assign(state, { Default: next })]));
    return new Flow<A | B>(
      this.#draft,
      [...ends, last as Flow<A | B>].flatMap((flow) => flow.#links),
    );
  }

  /** Runs branches at the same time; the value after is the list of theirs. */
  parallel<Branches extends readonly ((flow: Flow<Value>) => Flow<unknown>)[]>(
    name: string,
    ...branches: Branches
  ): Flow<{ readonly [K in keyof Branches]: ReturnType<Branches[K]> extends Flow<infer Out> ? Out : never }> {
    return this.#add(name, {
      Type: 'Parallel',
      Branches: branches.map((branch) => machineOf(branch, this.#draft.tasks)),
    });
  }

  /** Runs a branch for each item of the value, or of one of its fields; the value after is the list of theirs. */
  map<Item, Out>(
    name: string,
    items: { readonly path?: string; readonly maxConcurrency?: number },
    each: (flow: Flow<Item>) => Flow<Out>,
  ): Flow<readonly Out[]> {
    return this.#add(name, {
      Type: 'Map',
      ...(items.path === undefined ? {} : { ItemsPath: items.path }),
      ...(items.maxConcurrency === undefined ? {} : { MaxConcurrency: items.maxConcurrency }),
      ItemProcessor: machineOf(each, this.#draft.tasks),
    });
  }

  /** Ends the run here. */
  succeed(name: string): Flow<never> {
    this.#add(name, { Type: 'Succeed' });
    return new Flow<never>(this.#draft, []);
  }

  /** Ends the run here with an error. */
  fail(name: string, error: string, cause: string): Flow<never> {
    this.#add(name, { Type: 'Fail', Error: error, Cause: cause });
    return new Flow<never>(this.#draft, []);
  }

  #close(): void {
    for (const link of this.#links) link(undefined);
  }

  /** Ends the machine where steps are open. */
  static machine(flow: Flow<unknown>): StateMachine {
    flow.#close();
    const { start, states } = flow.#draft;
    return { StartAt: start ?? '', States: states } as unknown as StateMachine;
  }
}

const linkOf =
  (state: Raw): Link =>
  (next) => {
    if (next === undefined) state.End = true;
    else state.Next = next;
  };

function machineOf<In>(build: (flow: Flow<In>) => Flow<unknown>, tasks: TaskDefinition[]): StateMachine {
  const draft: Draft = { states: {}, tasks, start: undefined };
  const begin: Link = (next) => {
    draft.start = next;
  };
  return Flow.machine(build(new Flow<In>(draft, [begin])));
}

/**
 * Declares a workflow: `workflow('retrain', (w) => w.task('Validate', validate).task('Train', train))`. Its document is the same as one that is written by
 * hand in `retrain.asl.json`.
 *
 * @throws {@link WorkflowDocumentError} with every problem and its place
 */
export function workflow<Input = JsonValue>(
  name: string,
  build: (flow: Flow<Input>) => Flow<unknown>,
  settings: WorkflowSettings & { readonly comment?: string; readonly timeoutSeconds?: number } = {},
): WorkflowDefinition {
  const { comment, timeoutSeconds, ...rest } = settings;
  const tasks: TaskDefinition[] = [];
  const machine = machineOf(build, tasks);
  const document = {
    ...(comment === undefined ? {} : { Comment: comment }),
    ...machine,
    ...(timeoutSeconds === undefined ? {} : { TimeoutSeconds: timeoutSeconds }),
  };
  return defineWorkflow(name, document, rest, tasks);
}

/** Declares a workflow by its document. @throws {@link WorkflowDocumentError} */
export function defineWorkflow(
  name: string,
  document: unknown,
  settings: unknown = {},
  tasks: readonly TaskDefinition[] = [],
): WorkflowDefinition {
  return Object.freeze({
    ...{ kind: 'workflow' as const, name, tasks },
    document: checkDocument(name, document),
    settings: checkSettings(name, settings),
  });
}

export const isWorkflow = (value: unknown): value is WorkflowDefinition =>
  typeof value === 'object' &&
  value !== null &&
  (value as { kind?: unknown }).kind === 'workflow' &&
  'document' in value;
