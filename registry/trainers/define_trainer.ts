import type { z } from 'zod';
import type { Extension } from '#configs/extension';
import type { ModelPackage } from '../packages/model_package.ts';
import type { TrainingTable } from '../training_table.ts';

/** What a trainer gets. */
export interface TrainingJob<Settings = unknown> {
  /** Rows by time, with the chosen columns. The newest `HELD_OUT_SHARE` of them judge the model: train on rows before `heldOutFrom(rows)`. */
  readonly table: TrainingTable;
  readonly settings: Settings;
  /** The same seed, table and settings make the same model. */
  readonly seed: number;
  /** Prints a line of progress. */
  readonly report: (line: string) => void;
}

/** What a trainer returns. */
export interface Trained {
  readonly package: ModelPackage;
  /** Of the trainer's own; the platform adds those of its evaluation. */
  readonly metrics?: Readonly<Record<string, number>>;
  readonly params?: Readonly<Record<string, string>>;
}

/** A trainer of a project's own: `training: { trainer: 'extension', use: <name>, settings: { … } }` selects it. */
export interface Trainer<Settings = unknown> extends Extension<Settings> {
  train(job: TrainingJob<Settings>): Promise<Trained>;
}

/** Defines a trainer of the project's own, for `trainers` of `defineConfig`. `trainerContract` of `headwater/testing` tests it. */
export const defineTrainer = <Schema extends z.ZodType>(trainer: {
  readonly name: string;
  readonly settings: Schema;
  train(job: TrainingJob<z.output<Schema>>): Promise<Trained>;
}): Trainer => Object.freeze({ ...trainer }) as unknown as Trainer;
