import type { FastifyRequest } from 'fastify';
import type { Clock } from '#kernel/time';
import { needs } from '#monitoring/http/routes/route_access';
import type { WorkflowCatalog } from '../catalog/workflow_catalog.ts';
import type { ScheduleStore } from '../schedules/schedule_store.ts';
import type { WorkflowStore } from '../store/workflow_store.ts';

export interface WorkflowApiDeps {
  readonly catalog: WorkflowCatalog;
  readonly workflows: WorkflowStore;
  readonly schedules: ScheduleStore;
  readonly clock: Clock;
}

/** A path of a workflow. */
export interface OfWorkflow {
  readonly workflow: string;
}

// A workflow's name is in every path, so that a route's scope follows from it alone.
export const mayRead = { access: needs(({ workflow }) => `workflows:${workflow}`) };
export const mayOperate = { access: needs(({ workflow }) => `operate:${workflow}`) };
export const mayApprove = { access: needs(({ workflow }) => `approve:${workflow}`) };

/** Returns who calls, for the history. */
export const authorOf = ({ caller }: FastifyRequest): string => caller;
