import type { Stage } from './model_registry.ts';

/** The alias that goes with a stage: MLflow's newer way of saying the same. */
export const ALIAS_OF_STAGE: Readonly<Partial<Record<Stage, string>>> = {
  Production: 'champion',
  Staging: 'challenger',
};
