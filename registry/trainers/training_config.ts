import { z } from 'zod';
import type { EvaluationOptions } from '../evaluation/evaluate_model.ts';

/** An amount, as Kubernetes writes it. */
const quantity = z.string().regex(/^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$/);

const common = {
  /** Feature service, or view, that the columns are of: `fraud@1`. */
  service: z.string().min(1),
  /**
   * Where labels are, unless the command says otherwise: a source in the offline store; what feedback reports of predictions by entity, as labels (those that
   * stand for 0, 1, …) or as values; or there are none, and each row or entity counts.
   */
  labels: z
    .union([
      z.strictObject({ source: z.string().min(1) }),
      z.strictObject({ feedback: z.union([z.literal('value'), z.array(z.string().min(1)).min(2)]) }),
      z.strictObject({ each: z.enum(['row', 'entity']) }),
    ])
    .optional(),
  /** Of the service's columns; all without. */
  columns: z.array(z.string().min(1)).min(1).optional(),
  /** Columns by whose values evaluation looks at rows separately; `entity_key` is one too. */
  slices: z.array(z.string().min(1)).default([]),
  seed: z.int().default(7),
  /** What training asks of its machine where steps of workflows are Jobs of Kubernetes, beyond what their template has. */
  resources: z
    .strictObject({
      /** Graphics processors; `true`: one. */
      gpu: z.union([z.boolean(), z.int().nonnegative()]).default(false),
      /** Cores: `4`, `500m`. */
      cpu: quantity.optional(),
      /** `16Gi`. */
      memory: quantity.optional(),
      /** Labels of the nodes that it may run on: `{ node.kubernetes.io/instance-type: g5.xlarge }`. */
      nodeSelector: z.record(z.string().min(1), z.string()).optional(),
    })
    .prefault({}),
  /** Of the trainer, over its defaults. */
  params: z.record(z.string(), z.number()).default({}),
};

const costs = z
  .strictObject({ falsePositive: z.number().nonnegative(), falseNegative: z.number().nonnegative() })
  .optional();

/** How a model is trained. */
export const trainingConfigSchema = z.discriminatedUnion('trainer', [
  z.strictObject({
    ...common,
    trainer: z.literal('xgboost'),
    task: z.enum(['classification', 'regression']).default('classification'),
    /** Of labels 0, 1, …; for classification. */
    classes: z.array(z.string().min(1)).min(2).default(['negative', 'positive']),
    /** What wrong answers cost; for two classes. */
    costs,
    /** Column with what one would say without a model; for regression. */
    naive: z.string().min(1).optional(),
  }),
  z.strictObject({ ...common, trainer: z.literal('kmeans') }),
  /** A small neural network, trained in Node without Python; for two classes. Needs the package @tensorflow/tfjs. */
  z.strictObject({
    ...common,
    trainer: z.literal('mlp'),
    /** Of labels 0 and 1. */
    classes: z.tuple([z.string().min(1), z.string().min(1)]).default(['negative', 'positive']),
    /** What wrong answers cost. */
    costs,
    params: z.strictObject({ epochs: z.int().min(1).default(12) }).prefault({}),
  }),
  z.strictObject({ ...common, trainer: z.literal('isolation_forest') }),
  /** All columns are one sequence, oldest first; labels are what comes next. */
  z.strictObject({ ...common, trainer: z.literal('lstm'), naive: z.string().min(1).optional() }),
  /**
   * A logistic regression that learns from each outcome as it comes, by FTRL-proximal, in the monitor's pipeline; training takes its newest weights that
   * have not seen the rows which judge them.
   */
  z.strictObject({
    ...common,
    trainer: z.literal('online'),
    labels: z.strictObject({ feedback: z.tuple([z.string().min(1), z.string().min(1)]) }),
    params: z
      .strictObject({
        /** Learning rate at the start. */
        alpha: z.number().positive().default(0.1),
        /** The larger, the later rates fall. */
        beta: z.number().nonnegative().default(1),
        /** Weights with less evidence stay 0. */
        l1: z.number().nonnegative().default(0),
        l2: z.number().nonnegative().default(0),
      })
      .prefault({}),
    /** Outcomes from one checkpoint to the next. */
    every: z.int().min(2).default(500),
    /** Checkpoints that wrong labels are taken back to. */
    keep: z.int().nonnegative().default(4),
    /** Categories of a column that get a weight of their own. */
    mostCategories: z.int().nonnegative().default(1_000),
  }),
  /** A trainer of the project: `trainers` of headwater.config.ts. */
  z.strictObject({
    ...common,
    trainer: z.literal('extension'),
    use: z.string().min(1),
    settings: z.record(z.string(), z.unknown()).default({}),
    naive: z.string().min(1).optional(),
  }),
  /**
   * A program of the project's own, run in its folder. Its last argument is a JSON file with these settings and the paths `trainingSet` (data.csv, manifest.json)
   * and `out`, where it writes model.onnx and headwater.json.
   */
  z.strictObject({
    ...common,
    trainer: z.literal('command'),
    command: z.array(z.string().min(1)).min(1),
    naive: z.string().min(1).optional(),
  }),
]);
export type TrainingConfig = z.infer<typeof trainingConfigSchema>;

/** How a model is judged, as far as its training says. */
export const judgedAs = (config: TrainingConfig): EvaluationOptions => ({
  slices: config.slices,
  ...('costs' in config ? { costs: config.costs } : {}),
  ...('naive' in config ? { naive: config.naive } : {}),
});
