/** `headwater/apache-beam`: a runner for pipelines of npm's apache-beam. */
export { createHeadwaterRunner, type HeadwaterRunnerOptions } from '#pipelines/compat/apache_beam';
export { BeamUnavailableError } from '#pipelines/compat/errors';
