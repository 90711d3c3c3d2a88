import { StateSpec, TimerSpec } from './dofn.ts';

/** Returns the state and timers that a DoFn declares as fields, in their order. */
export function declarationsOf(doFn: object): { readonly states: StateSpec<unknown>[]; readonly timers: TimerSpec[] } {
  const fields = Object.values(doFn);
  return {
    states: fields.filter((field): field is StateSpec<unknown> => field instanceof StateSpec),
    timers: fields.filter((field): field is TimerSpec => field instanceof TimerSpec),
  };
}
