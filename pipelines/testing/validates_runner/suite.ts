import { groupingCases } from './grouping_cases.ts';
import { parDoCases } from './par_do_cases.ts';
import { refusalCases } from './refusal_cases.ts';
import type { RunnerCase } from './runner_case.ts';
import { sideInputCases } from './side_input_cases.ts';
import { splittableCases } from './splittable_cases.ts';
import { stateCases } from './state_cases.ts';
import { transformCases } from './transform_cases.ts';
import { windowCases } from './window_cases.ts';

/** Pipelines that every runner must execute; names are unique. */
export const validatesRunnerSuite: readonly RunnerCase[] = [
  ...parDoCases,
  ...groupingCases,
  ...windowCases,
  ...stateCases,
  ...sideInputCases,
  ...splittableCases,
  ...transformCases,
  ...refusalCases,
];
