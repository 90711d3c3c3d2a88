import { PlatformError } from '#kernel/errors';
import { knownNames } from '#kernel/known_names';
import { listed } from '#kernel/problem_list';

/** A workflow document, or a schedule, that cannot run. */
export class WorkflowDocumentError extends PlatformError {
  readonly code = 'WORKFLOWS_DOCUMENT';
  /** Each names its place: `States.train.Next: …`. */
  readonly problems: readonly string[];

  constructor(name: string, problems: readonly string[], cause?: unknown) {
    super(`workflow "${name}": ${listed(problems)}`, { fault: 'caller', retryable: false, cause });
    this.problems = problems;
  }
}

export class WorkflowNotFoundError extends PlatformError {
  readonly code = 'WORKFLOWS_NOT_FOUND';
  readonly httpStatus = 404;

  constructor(name: string, known: readonly string[]) {
    const list = known.length === 0 ? 'the project defines none' : knownNames(name, known);
    super(`workflow "${name}" does not exist; ${list}`, { fault: 'caller', retryable: false });
  }
}

export class RunNotFoundError extends PlatformError {
  readonly code = 'WORKFLOWS_RUN_NOT_FOUND';
  readonly httpStatus = 404;

  constructor(id: string) {
    super(`run "${id}" does not exist; "headwater workflows list" prints the runs`, {
      fault: 'caller',
      retryable: false,
    });
  }
}

/** A run that exists already, of another workflow or with another input. */
export class RunConflictError extends PlatformError {
  readonly code = 'WORKFLOWS_RUN_CONFLICT';
  readonly httpStatus = 409;

  constructor(id: string, difference: string) {
    super(`run "${id}" exists with ${difference}; give the new run another id`, { fault: 'caller', retryable: false });
  }
}

/** What a run does not take in its state. */
export class RunStateError extends PlatformError {
  readonly code = 'WORKFLOWS_RUN_STATE';
  readonly httpStatus = 409;

  constructor(id: string, status: string, action: string, needed: string) {
    super(`run "${id}" is ${status}: ${action} needs ${needed}`, { fault: 'caller', retryable: false });
  }
}

/** A value that the database does not take: a run's input, an answer. */
export class WorkflowValueError extends PlatformError {
  readonly code = 'WORKFLOWS_VALUE';

  constructor(what: string, problem: string) {
    super(`${what}: ${problem}`, { fault: 'caller', retryable: false });
  }
}

/** A task that this process does not have. */
export class TaskNotFoundError extends PlatformError {
  readonly code = 'WORKFLOWS_TASK_NOT_FOUND';

  constructor(resource: string, known: readonly string[]) {
    super(`task "${resource}" does not exist; ${knownNames(resource, known)}`, {
      fault: 'caller',
      retryable: false,
    });
  }
}

/** A start of a run that the settings of its workflow do not allow now. */
export class RunRefusedError extends PlatformError {
  readonly code = 'WORKFLOWS_RUN_REFUSED';
  readonly httpStatus = 409;

  constructor(workflow: string, reason: string) {
    super(
      `no run of workflow "${workflow}" is started: ${reason}. Its settings whenActive, cooldown and maxRunsAWeek say when runs are refused`,
      { fault: 'caller', retryable: false },
    );
  }
}

/** A declaration of tasks or schedules that contradicts itself or another. */
export class WorkflowDefinitionError extends PlatformError {
  readonly code = 'WORKFLOWS_DEFINITION';

  constructor(problem: string) {
    super(problem, { fault: 'caller', retryable: false });
  }
}

/** A date that the exchange calendar has no data for. */
export class CalendarRangeError extends PlatformError {
  readonly code = 'WORKFLOWS_CALENDAR_RANGE';

  constructor(calendar: string, date: string, first: string, last: string) {
    super(
      `calendar ${calendar} has no data for ${date}: its data is from ${first} to ${last}. Choose a date in that range, or install a newer version of headwater`,
      { fault: 'caller', retryable: false },
    );
  }
}

/** A schedule that the project does not declare, or that no worker has begun. */
export class ScheduleNotFoundError extends PlatformError {
  readonly code = 'WORKFLOWS_SCHEDULE_NOT_FOUND';
  readonly httpStatus = 404;

  constructor(name: string, known: readonly string[]) {
    super(
      `schedule "${name}" does not exist; ${knownNames(name, known)}. Workers begin with the schedules of headwater.config.ts when they start`,
      { fault: 'caller', retryable: false },
    );
  }
}

/** The lease of a step was taken over, or its run was cancelled: what it did is not recorded. */
export class LeaseLostError extends PlatformError {
  readonly code = 'WORKFLOWS_LEASE_LOST';

  constructor(run: string, path: string) {
    super(`the lease of run "${run}"${path === '' ? '' : ` at ${path}`} was lost: its result is discarded`, {
      fault: 'internal',
      retryable: false,
    });
  }
}

/** A request that the API of Kubernetes has refused, or not answered. */
export class KubernetesError extends PlatformError {
  readonly code = 'WORKFLOWS_KUBERNETES';
  /** Of the answer; 0: there was none. */
  readonly status: number;

  constructor(method: string, path: string, status: number, problem: string, cause?: unknown) {
    super(`${method} ${path} of Kubernetes: ${status === 0 ? '' : `${status}, `}${problem}`, {
      fault: 'dependency',
      retryable: status === 0 || status === 429 || status >= 500,
      cause,
    });
    this.status = status;
  }
}

/** An order of a step that no worker has given, or whose run was deleted. */
export class JobNotFoundError extends PlatformError {
  readonly code = 'WORKFLOWS_JOB_NOT_FOUND';

  constructor(key: string) {
    super(`there is no order for the step "${key}": workers create Jobs with the orders that these carry out`, {
      fault: 'caller',
      retryable: false,
    });
  }
}
