import { Option } from '@commander-js/extra-typings';
import { TRAINING_FORMATS } from '#feature_store/retrieval/training_format';
import { resumes } from '../../terminal/interrupt.ts';
import { noun, type Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';
import { integer } from '../values.ts';
import { withLabels } from './labels.ts';
import { MODELS } from './models.ts';

export function registerTraining(program: Program): void {
  withLabels(
    noun(program, 'training-sets', 'Labels with the features of their time')
      .command('create')
      .description('Join labels with the features as of their time, into a training set'),
  )
    .requiredOption('--out <folder>', 'folder for the data and manifest.json')
    .option('--service <name@version>', 'feature service or view that gives the columns')
    .option('--split-at <time...>', 'one time splits into train and test, two into train, validation and test')
    .option('--known-at-label', "use only values computed before the label's time", false)
    .addOption(new Option('--format <format>', 'format of the data').choices(TRAINING_FORMATS).default('csv' as const))
    .option('--like <folder>', 'make the training set of this manifest again and compare the two')
    .action(lazily(() => import('../../history/training_set.ts'), 'makeTrainingSet'));

  const train = withLabels(
    noun(program, ...MODELS)
      .command('train')
      .description('Train a model on a training set or on labels, and evaluate it'),
  )
    .argument('[model]', 'model of the project (default: the one that can be trained, if there is only one)')
    .option('--training-set <folder>', 'folder with data.csv and manifest.json')
    .option('--out <folder>', 'folder for the model and its report (default: in the data directory)')
    .option(
      '--search <trials>',
      'trials of a parameter search first; an interrupted search resumes',
      integer(0, 999_999),
      0,
    )
    .option('--register', 'register the model as a new version', false)
    .action(lazily(() => import('../../models/train.ts'), 'trainModel'));
  resumes(train, 'run the command again: trials of a parameter search that ended are kept');
}
