/** `headwater/testing`: tests of a project, in memory. */
export { FeatureTest, type FeatureTestOptions } from '#feature_store/testing/feature_test';
export { Random } from '#kernel/random';
