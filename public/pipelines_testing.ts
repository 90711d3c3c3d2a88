/** `headwater/pipelines/testing`: what a pipeline puts out, asserted in the pipeline or collected, at times that a test sets. */
export { assertThat, PipelineAssertionError } from '#pipelines/testing/assert';
export { type Collected, collectInto, runToEnd } from '#pipelines/testing/collect';
export { testStream } from '#pipelines/testing/test_stream';
