import { PlatformError } from '#kernel/errors';

/** A command needs definitions, and there is no project. */
export class ProjectNotFoundError extends PlatformError {
  readonly code = 'CLI_PROJECT_NOT_FOUND';

  constructor(folder: string, above: string | undefined) {
    const advice =
      above === undefined
        ? 'make a project with "headwater init NAME", or name its folder with --project'
        : `the project is ${above}: run the command there, or give --project ${above}`;
    super(`${folder} has no headwater.config.ts: ${advice}`, { fault: 'caller', retryable: false });
  }
}

/** A module of the project cannot be loaded, or does not export what it should. */
export class ProjectModuleError extends PlatformError {
  readonly code = 'CLI_PROJECT_MODULE';

  constructor(file: string, problem: string, cause?: unknown) {
    super(`${file}: ${problem}`, { fault: 'caller', retryable: false, cause });
  }
}
