import { Argument } from '@commander-js/extra-typings';
import { LAMBDA_FUNCTIONS } from '../terminal/choices.ts';
import { noun, type Program } from './command_group.ts';
import { lazily } from './lazily.ts';

export function registerLambda(program: Program): void {
  noun(program, 'lambda', 'Listeners as functions of AWS Lambda')
    .command('invoke')
    .description('Invoke an AWS Lambda function here with one event and print its response')
    .addArgument(new Argument('<function>', 'function').choices(LAMBDA_FUNCTIONS))
    .requiredOption(
      '--event <file>',
      'JSON: a proxy event of API Gateway, version 1 or 2; for trigger, records of Kinesis, DynamoDB or S3',
    )
    .action(lazily(() => import('../roles/lambda.ts'), 'invokeLambda'));
}
