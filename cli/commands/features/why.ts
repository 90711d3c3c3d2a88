import type { Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';
import { integer } from '../values.ts';

export function registerWhy(program: Program): void {
  const why = program.command('why').description('Explain values of features and predictions');

  // `headwater why user:u1 count_24h` is short for it.
  why
    .command('value', { isDefault: true })
    .description('Explain a feature of an entity: formula, window, events, and the value computed from them again')
    .argument('<entity>', 'key such as user:x9, or id such as x9')
    .argument('<feature>', 'name of the feature')
    .option('--at <time>', 'value as of this time, ISO 8601 (default: now)')
    .option('--view <name@version>', 'view of the feature (default: its newest version)')
    .option('--limit <n>', 'number of events', integer(1), 20)
    .option('--offset <n>', 'number of the newest events to leave out', integer(), 0)
    .option('--json', 'print one JSON object', false)
    .action(lazily(() => import('../../explanation/why.ts'), 'whyValue'));

  why
    .command('prediction')
    .description(
      'Explain a logged prediction: version, features as they were, contributions, and the same computed again',
    )
    .argument('<id>', 'id of the prediction, or of its request')
    .option('--row <n>', 'row of the request', integer(), 0)
    .option('--json', 'print one JSON object', false)
    .action(lazily(() => import('../../explanation/why_prediction.ts'), 'whyPrediction'));
}
