/** `headwater/testing`: for tests of a project. */
export { Random } from '#kernel/random';
