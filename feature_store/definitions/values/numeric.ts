import type { FeatureValue } from '#feature_store/definitions/values/feature_row';

/** Returns a value as a number; 0 for what is missing or none. */
export const numberOr0 = (value: FeatureValue | undefined): number => (typeof value === 'number' ? value : 0);

/** Limits a number: between 0 and 1. */
export const clamp01 = (value: number): number => Math.min(1, Math.max(0, value));
