import NativeArraysEnvironment from './native_arrays_environment.mjs';

/** Limits of tests are for a machine that runs one of them; three files run at a time, and start processes of their own. */
const TIMES_AS_LONG = 4;
/** Of tests that name none, as in jest.config.mjs. */
const LIMIT_MS = 30_000;

/** Points the files of a worker of Jest at its own servers: `WORKER_2_TEST_REDIS_URL` becomes the TEST_REDIS_URL of the second. */
export default class WorkerEnvironment extends NativeArraysEnvironment {
  constructor(...args) {
    const own = `WORKER_${process.env.JEST_WORKER_ID}_`;
    for (const [name, value] of Object.entries(process.env))
      if (name.startsWith(own)) process.env[name.slice(own.length)] = value;
    // Copies the environment for the file.
    super(...args);
  }

  handleTestEvent({ name, test, hook }) {
    const limited = { test_start: test, hook_start: hook }[name];
    if (limited !== undefined) limited.timeout = (limited.timeout ?? LIMIT_MS) * TIMES_AS_LONG;
  }
}
