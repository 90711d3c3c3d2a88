export const TRAINING_FORMATS = ['csv', 'parquet'] as const;
export type TrainingFormat = (typeof TRAINING_FORMATS)[number];
