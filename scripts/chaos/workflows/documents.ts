import type { JsonValue } from '#kernel/json';
import { Random } from '#kernel/random';
import type { WorkflowDocument } from '#workflows/document/document';

/** A document with its input, as a seed gives them. */
export interface ChaosRun {
  readonly id: string;
  readonly document: WorkflowDocument;
  readonly input: JsonValue;
}

type States = Record<string, Record<string, unknown>>;

const RETRY = [{ ErrorEquals: ['Flaky'], IntervalSeconds: 0, MaxAttempts: 3, BackoffRate: 1 }];

/** Builds documents out of every type of state; branches fail only in ways that are retried, so that each run has one right end. */
class Documents {
  readonly #random: Random;
  #next = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  machine(depth: number): { StartAt: string; States: States } {
    const count = this.#random.integer(1, depth === 0 ? 6 : 3);
    const chained: [string, Record<string, unknown>][] = [];
    const states: States = {};
    for (let index = 0; index < count; index += 1) chained.push(this.#state(depth));
    chained.forEach(([name, state], index) => {
      const next = chained[index + 1]?.[0];
      const flow = next === undefined ? { End: true } : { Next: next };
      states[name] = state.Type === 'Choice' ? state : { ...state, ...flow };
      if (state.Type !== 'Choice') return;
      // Both ways lead to the state that follows.
      const [yes, no] = [`${name}-yes`, `${name}-no`];
      states[name] = { ...state, Choices: [{ ...(state.Choices as object[])[0], Next: yes }], Default: no };
      states[yes] = { ...this.#write(), ...flow };
      states[no] = { Type: 'Pass', ...flow };
    });
    return { StartAt: chained[0]?.[0] as string, States: states };
  }

  #name(kind: string): string {
    this.#next += 1;
    return `${kind}${this.#next}`;
  }

  #write(): Record<string, unknown> {
    return { Type: 'Task', Resource: 'write@1', ResultPath: '$.last' };
  }

  #state(depth: number): [string, Record<string, unknown>] {
    const kinds = depth < 2 ? 9 : 6;
    switch (this.#random.integer(0, kinds)) {
      case 0:
        return [this.#name('Write'), this.#write()];
      case 1:
        return [this.#name('Call'), { Type: 'Task', Resource: 'call@1', ResultPath: '$.last' }];
      case 2:
        return [this.#name('Flaky'), { Type: 'Task', Resource: 'flaky@1', Retry: RETRY, ResultPath: '$.last' }];
      case 3:
        return [this.#name('Wait'), { Type: 'Wait', Seconds: 0 }];
      case 4:
        return [this.#name('Pass'), { Type: 'Pass', Parameters: { 'n.$': 'States.MathAdd($.n, 1)' } }];
      case 5:
        return [
          this.#name('Choice'),
          { Type: 'Choice', Choices: [{ Variable: '$.n', NumericLessThan: this.#random.integer(0, 6) }] },
        ];
      case 6:
        return [
          this.#name('Parallel'),
          { Type: 'Parallel', Branches: [this.machine(depth + 1), this.machine(depth + 1)], ResultPath: '$.branches' },
        ];
      default:
        return [
          this.#name('Map'),
          {
            Type: 'Map',
            ItemsPath: '$$.Execution.Input.items',
            ItemProcessor: this.machine(depth + 1),
            MaxConcurrency: this.#random.integer(0, 3),
            ResultPath: '$.items',
          },
        ];
    }
  }
}

/** Returns the runs of a seed. Every third ends with a failure that nothing catches, or one that leads elsewhere. */
export function chaosRuns(seed: number, count: number): readonly ChaosRun[] {
  const random = new Random(seed);
  return Array.from({ length: count }, (_, index): ChaosRun => {
    const documents = new Documents(random);
    const machine = documents.machine(0);
    const id = `chaos-${seed}-${index}`;
    const input = { n: random.integer(0, 4), items: Array.from({ length: random.integer(1, 4) }, (__, n) => ({ n })) };
    if (index % 3 !== 0) return { id, document: machine as unknown as WorkflowDocument, input };
    const isCaught = random.chance(0.5);
    const failing = {
      Type: 'Task',
      Resource: 'broken@1',
      Retry: [{ ErrorEquals: ['Broken'], IntervalSeconds: 0, MaxAttempts: 1, BackoffRate: 1 }],
      ...(isCaught ? { Catch: [{ ErrorEquals: ['States.ALL'], ResultPath: '$.caught', Next: 'After' }] } : {}),
      End: true,
    };
    const states: States = {
      Before: { Type: 'Parallel', Branches: [machine], Next: 'Broken' },
      Broken: failing,
      ...(isCaught ? { After: { Type: 'Task', Resource: 'write@1', End: true } } : {}),
    };
    return { id, document: { StartAt: 'Before', States: states } as unknown as WorkflowDocument, input };
  });
}
