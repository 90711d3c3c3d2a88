import type { ScheduleSpec } from '#workflows/schedules/schedule';
import type { ExtensionSpec } from './extensions.ts';

/** Where a project keeps its parts: folders, or single files, relative to headwater.config.ts; and what it adds to the platform. */
export interface ProjectSpec extends ExtensionSpec {
  /** Modules with sources, views and services; default: `./features`. Files of tests and declarations are left out. */
  readonly features?: string | readonly string[];
  /** Modules with models; default: `./models`. */
  readonly models?: string | readonly string[];
  /** Pipelines that `headwater pipelines run` finds by name; default: `./pipelines`. */
  readonly pipelines?: string | readonly string[];
  /** Programs that `headwater scripts run` finds by name; default: `./scripts`. */
  readonly scripts?: string | readonly string[];
  /** Workflows and their tasks in TypeScript, and documents `NAME.asl.json`; default: `./workflows`. */
  readonly workflows?: string | readonly string[];
  /** When workflows run, by name of the schedule: `{ nightly: { workflow: 'retrain', cron: '30 6 * * *', timeZone: 'Europe/Berlin' } }`. */
  readonly schedules?: Readonly<Record<string, ScheduleSpec>>;
  /** Settings in YAML, laid over the package's: `configs/default.yaml`, `configs/<ENVIRONMENT>.yaml`; default: `./configs`. */
  readonly configs?: string;
}

/** Declares a project, as the default export of headwater.config.ts. */
export const defineConfig = (spec: ProjectSpec = {}): ProjectSpec => Object.freeze({ ...spec });
