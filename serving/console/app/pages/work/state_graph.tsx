import type { RunDetails, ShownMachine } from '../../../sources.ts';
import { span } from '../../parts.tsx';

// A document's states with what became of them in a run, and the run over time.

/** A state of a run, from when it was entered to when it was left. */
export interface StepAttempt {
  readonly key: string;
  readonly path: string;
  readonly state: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly status: 'running' | 'succeeded' | 'failed';
  readonly input: unknown;
  readonly output: unknown;
}

/** Returns the states that a run has entered, in order. */
export function attemptsOf(events: RunDetails['events'], endedAt: string | null): readonly StepAttempt[] {
  const attempts: StepAttempt[] = [];
  const open = new Map<string, number>();
  const nowMs = endedAt === null ? Date.now() : Date.parse(endedAt);
  for (const { n, at, path, state, kind, detail } of events) {
    const atMs = Date.parse(at);
    const { input, output } = (detail ?? {}) as { readonly input?: unknown; readonly output?: unknown };
    const last = open.get(path);
    const before = last === undefined ? undefined : attempts[last];
    if (kind === 'state_entered' && state !== null) {
      open.set(path, attempts.length);
      attempts.push({
        key: String(n),
        path,
        state,
        startMs: atMs,
        endMs: nowMs,
        status: 'running',
        input,
        output: undefined,
      });
    } else if (last !== undefined && before !== undefined) {
      const status = before.status === 'failed' ? 'failed' : 'succeeded';
      if (kind === 'state_succeeded') attempts[last] = { ...before, output };
      else if (kind === 'state_exited') attempts[last] = { ...before, endMs: atMs, status };
      else if (/failed|cancelled|timed_out/.test(kind))
        attempts[last] = { ...before, endMs: atMs, status: 'failed', output: detail };
      else if (/redriven|retry_scheduled/.test(kind)) attempts[last] = { ...before, endMs: nowMs, status: 'running' };
    }
  }
  return attempts;
}

const ROW = 34;
const BOX = { x: 8, width: 190, height: 24 };
const FIRST_ARC = 14;

/** States in the order in which they are reached, with an arc for each way from one to another that does not lead to the next below. */
export function StateGraph({
  name,
  machine,
  states,
}: {
  readonly name: string;
  readonly machine: ShownMachine;
  readonly states: ReadonlyMap<string, string>;
}) {
  const order = orderOf(machine);
  const place = new Map(order.map((state, row) => [state, row] as const));
  const ways = order.flatMap((from) =>
    nextOf(machine, from).map((to) => ({ from: place.get(from) ?? 0, to: place.get(to) ?? 0 })),
  );
  const arcs = ways.filter(({ from, to }) => to !== from + 1);
  const reach = Math.max(1, ...arcs.map(({ from, to }) => Math.abs(to - from)));
  const middle = (row: number): number => row * ROW + ROW / 2;
  const right = BOX.x + BOX.width;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached without a mouse
    <section class="wide" tabIndex={0} aria-label={`States of ${name}`}>
      <svg class="graph" width={right + 110} height={order.length * ROW} role="img" aria-label={`Graph of ${name}`}>
        {ways
          .filter(({ from, to }) => to === from + 1)
          .map(({ from, to }) => (
            <line
              key={`${from}>${to}`}
              x1="40"
              x2="40"
              y1={middle(from) + BOX.height / 2}
              y2={middle(to) - BOX.height / 2}
            />
          ))}
        {arcs.map(({ from, to }) => {
          const far = right + FIRST_ARC + (Math.abs(to - from) / reach) * 80;
          const [begin, end] = [middle(from) - 3, middle(to) + 3];
          return (
            <g key={`${from}>${to}`}>
              <path d={`M ${right} ${begin} C ${far} ${begin}, ${far} ${end}, ${right + 5} ${end}`} />
              <path class="head" d={`M ${right} ${end} l 6 -3 v 6 z`} />
            </g>
          );
        })}
        {order.map((state, row) => (
          <g key={state} class={`state ${states.get(state) ?? 'none'}`}>
            <rect x={BOX.x} y={middle(row) - BOX.height / 2} width={BOX.width} height={BOX.height} rx="4" />
            <text x={BOX.x + 8} y={middle(row) + 4}>
              {state.length > 24 ? `${state.slice(0, 23)}…` : state}
            </text>
            <title>{`${state}: ${machine.States[state]?.Type ?? ''} ${machine.States[state]?.Resource ?? ''} ${states.get(state) ?? ''}`}</title>
          </g>
        ))}
      </svg>
    </section>
  );
}

function nextOf(machine: ShownMachine, name: string): readonly string[] {
  const { Next, Default, Choices = [], Catch = [] } = machine.States[name] ?? { Type: '' };
  const all = [Next, ...Choices.map((choice) => choice.Next), Default, ...Catch.map((each) => each.Next)];
  return [...new Set(all.filter((each) => each !== undefined))];
}

/** Depth first: what follows a state stands below it. */
function orderOf(machine: ShownMachine): readonly string[] {
  const seen = new Set<string>();
  const visit = (name: string): void => {
    if (seen.has(name) || machine.States[name] === undefined) return;
    seen.add(name);
    for (const next of nextOf(machine, name)) visit(next);
  };
  visit(machine.StartAt);
  return [...seen];
}

const LABEL = 150;
const SCALE = 560;
const BAR = 22;

/** The states of a run as bars over its time; a bar is chosen to see what it did. */
export function Gantt({
  attempts,
  chosen,
  onChoose,
}: {
  readonly attempts: readonly StepAttempt[];
  readonly chosen: string | undefined;
  readonly onChoose: (key: string) => void;
}) {
  if (attempts.length === 0) return null;
  const begin = Math.min(...attempts.map(({ startMs }) => startMs));
  const whole = Math.max(1, ...attempts.map(({ endMs }) => endMs - begin));
  const x = (ms: number): number => LABEL + ((ms - begin) / whole) * SCALE;
  return (
    <section class="wide" aria-label="States over time">
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset has no place here */}
      <svg class="gantt" width={LABEL + SCALE + 70} height={attempts.length * BAR} role="group" aria-label="Time line">
        {attempts.map((attempt, row) => {
          const { key, state, startMs, endMs, status } = attempt;
          const took = span((endMs - startMs) / 1_000);
          const choose = () => onChoose(key);
          return (
            // biome-ignore lint/a11y/useSemanticElements: HTML buttons have no place within SVG
            <g
              key={key}
              class={`step ${status} ${key === chosen ? 'chosen' : ''}`}
              role="button"
              tabIndex={0}
              aria-pressed={key === chosen}
              aria-label={`${state}, ${status}, ${took}`}
              onClick={choose}
              onKeyDown={(event) => event.key === 'Enter' && choose()}
            >
              <rect class="ground" x="0" y={row * BAR} width={LABEL + SCALE + 70} height={BAR} />
              <text x="4" y={row * BAR + 15}>
                {state}
              </text>
              <rect x={x(startMs)} y={row * BAR + 4} width={Math.max(2, x(endMs) - x(startMs))} height={BAR - 8} />
              <text x={x(endMs) + 5} y={row * BAR + 15}>
                {took}
              </text>
            </g>
          );
        })}
      </svg>
    </section>
  );
}
