/** Commands that had another name in the version before. They run, with a warning, until the next one. */
export const OLD_NAMES: Readonly<Record<string, readonly string[]>> = {
  'send-test-data': ['events', 'send'],
  lag: ['pipelines', 'lag'],
  run: ['pipelines', 'run'],
  worker: ['pipelines', 'worker'],
  backfill: ['features', 'backfill'],
  materialize: ['features', 'materialize'],
  retention: ['history', 'prune'],
  'training-set': ['training-sets', 'create'],
  train: ['models', 'train'],
  'batch-predict': ['predictions', 'batch'],
  erase: ['entities', 'erase'],
  'export-user': ['entities', 'export'],
  demo: ['scripts', 'run', 'demo'],
  'lambda-invoke': ['lambda', 'invoke'],
};

/** Options of every command that take a value, which may come before the name of the command. */
const WITH_VALUE: ReadonlySet<string> = new Set(['-C', '--project']);

/**
 * Returns the arguments with the new name of a command in place of its old one.
 *
 * @param args - after the program's name
 * @param warn - called with a line for people where the name is an old one
 */
export function withNewNames(args: readonly string[], warn: (line: string) => void): readonly string[] {
  let at = 0;
  while (args[at]?.startsWith('-') || args[at] === 'help') at += WITH_VALUE.has(args[at] as string) ? 2 : 1;
  const old = args[at] ?? '';
  const now = Object.hasOwn(OLD_NAMES, old) ? OLD_NAMES[old] : undefined;
  if (now === undefined) return args;
  warn(`"headwater ${old}" is now "headwater ${now.join(' ')}"; the old name is removed in the next version`);
  return [...args.slice(0, at), ...now, ...args.slice(at + 1)];
}
