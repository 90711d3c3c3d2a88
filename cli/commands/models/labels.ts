import { Option } from '@commander-js/extra-typings';
import type { NewCommand } from '../command_group.ts';

/** Adds the options that say where labels are. */
export const withLabelOrigin = (command: NewCommand) =>
  command
    .option('--labels <source>', 'labels of this source in the offline store')
    .option(
      '--labels-file <pattern>',
      'files with entity_key or the join keys, event_time, label and optionally label_id',
    )
    .option('--labels-query <sql>', "query of the offline store's database that returns these columns");

/** Adds the options that choose labels. */
export const withLabels = (command: NewCommand) =>
  withLabelOrigin(command)
    .addOption(
      new Option(
        '--each <what>',
        'without labels: each row of the first view, or each entity at its newest row',
      ).choices(['row', 'entity'] as const),
    )
    .option('--from <time>', 'labels at or after this time, ISO 8601 (default: all)')
    .option('--to <time>', 'labels before this time, ISO 8601');
