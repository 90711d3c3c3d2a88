/** `headwater/registry`: model versions, model packages, and trainers. */
export { PlatformError } from '#kernel/errors';
export { createRegistry, defineRegistry, type RegistryDeps, type RegistryExtension } from '#registry/catalog';
export type { RegistryConfig } from '#registry/config';
export {
  ArtifactIntegrityError,
  InvalidModelError,
  PromotionConflictError,
  RegistryUnavailableError,
  TrainingError,
  UnknownModelError,
} from '#registry/errors';
export { type ModelCard, type ModelFolder, readModelFolder, writeModelFolder } from '#registry/model_folder';
export {
  type ModelRegistry,
  type ModelVersion,
  type NewModelVersion,
  STAGES,
  type Stage,
  type Trial,
  type VersionSelector,
} from '#registry/model_registry';
export type {
  ColumnType,
  FeatureServiceReference,
  InputColumn,
  ModelPackage,
  ModelSignature,
  OnnxInput,
  Task,
} from '#registry/packages/model_package';
export { defineTrainer, type Trained, type Trainer, type TrainingJob } from '#registry/trainers/define_trainer';
export { type LinearColumn, type LinearModel, linearPackage } from '#registry/trainers/online/linear_onnx';
export { type DenseLayer, MLP_INPUT, MLP_OUTPUT, type Mlp, mlpToOnnx } from '#registry/trainers/tfjs/onnx_mlp';
export {
  type CellValue,
  HELD_OUT_SHARE,
  heldOutFrom,
  inputColumns,
  type TableColumn,
  type TrainingTable,
} from '#registry/training_table';
