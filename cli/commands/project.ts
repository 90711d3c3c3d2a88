import { Option } from '@commander-js/extra-typings';
import { DEPLOYMENTS, TEMPLATES } from '../init/templates.ts';
import { ROLES } from '../terminal/choices.ts';
import { noun, type Program } from './command_group.ts';
import { lazily } from './lazily.ts';
import { rolesOf } from './roles.ts';
import { duration, integer } from './values.ts';

export function registerProject(program: Program): void {
  program
    .command('init')
    .description('Write a new project into an empty folder, or files that deploy a project')
    .argument('[folder]', 'folder of the project; its name is that of the package (with --deploy: of this folder)')
    .addOption(
      new Option('-t, --template <name>', 'project to begin with').choices(TEMPLATES).default('minimal' as const),
    )
    .option('--headwater <spec>', 'version or tarball that package.json depends on (default: the one that runs)')
    .addOption(
      new Option(
        '--deploy <kind>',
        'add files that run the image of the project on Kubernetes or Docker compose',
      ).choices(DEPLOYMENTS),
    )
    .option('--force', 'with --deploy: replace files that differ', false)
    .action(lazily(() => import('../init/init.ts'), 'initProject'));

  noun(program, 'generate', 'Code for the definitions of the project')
    .command('client')
    .description(
      'Write a typed client, which imports nothing and needs fetch alone: for Node, browsers and edge runtimes',
    )
    .option('--out <file>', 'file to write', 'headwater_client.ts')
    .action(lazily(() => import('../init/generate_client.ts'), 'generateClient'));

  program
    .command('dev')
    .description('Run the project and restart it when a file changes; state is kept')
    .addOption(new Option('--role <roles...>', `roles that run: ${ROLES.join(', ')} (default: all)`).argParser(rolesOf))
    .action(lazily(() => import('../init/dev.ts'), 'dev'));

  program
    .command('test')
    .description("Run the project's tests with Node's test runner, from their TypeScript sources")
    .argument('[patterns...]', 'files (default: test/**/*.test.ts)')
    .option('--watch', 'run them again when a file changes', false)
    .action(lazily(() => import('../init/test_project.ts'), 'testProject'));

  noun(program, 'scripts', 'Programs of the project')
    .command('run')
    .description('Run a program of the project from its TypeScript sources; arguments behind its name are its own')
    .argument('<script>', 'its path, or its name in scripts/')
    .argument('[args...]', 'arguments of the program')
    .allowUnknownOption()
    .action(lazily(() => import('../init/run_script.ts'), 'runScript'));

  const notebooks = noun(program, 'notebooks', 'Notebooks of Python beside the project');
  notebooks
    .command('start')
    .description("Run JupyterLab in the project's folder, on this machine alone, until it is idle")
    .option('--port <port>', 'port on 127.0.0.1', integer(1, 65_535), 8_888)
    .option('--idle <duration>', 'idle time after which it stops, such as 30m', duration, '30m' as const)
    .action(lazily(() => import('../models/notebook.ts'), 'startNotebooks'));
  notebooks
    .command('run')
    .description('Execute a notebook from beginning to end and write it with its results as HTML')
    .argument('<notebook>', 'file .ipynb')
    .requiredOption('--out <file>', 'target file .html, local or s3://, with {date} filled in')
    .option('--timeout <seconds>', 'time limit of a cell', integer(1), 600)
    .action(lazily(() => import('../models/notebook.ts'), 'runNotebook'));
}
