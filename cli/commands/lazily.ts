/** What a handler takes, with `undefined` allowed for what is optional: commander's types do not tell an absent option from an undefined one. */
type Loose<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { [K in keyof T]: Record<never, never> extends Pick<T, K> ? T[K] | undefined : T[K] }
    : T;
type LooseAll<Args extends readonly unknown[]> = { [I in keyof Args]: Loose<Args[I]> };

type ParametersOf<Handle> = Handle extends (...args: infer Args) => unknown ? Args : never;

/**
 * Returns an action that loads its module when the command runs: all of them together take seconds, and `--help` needs none. Commander checks the arguments and
 * options of the command against the handler's parameters, so a handler of other options does not compile.
 *
 * @param name - the export of the module that does the work
 */
export const lazily =
  <Module, Name extends keyof Module>(load: () => Promise<Module>, name: Name) =>
  async (...args: LooseAll<ParametersOf<Module[Name]>>): Promise<void> => {
    const handle = (await load())[name] as (...args: readonly unknown[]) => unknown;
    await handle(...args);
  };
