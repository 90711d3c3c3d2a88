import { serveTasks } from '#workflows/tasks/task_process';
import { failureOf } from '#workflows/worker/run_task';
import { loadWorkflows } from '../../workflows/load_workflows.ts';

// A process that runs one task of the project, for a worker.
serveTasks((await loadWorkflows()).tasks, failureOf);
