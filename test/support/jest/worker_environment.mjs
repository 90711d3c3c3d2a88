import FileEnvironment from './file_environment.mjs';

/** Points the files of a worker of Jest at its own servers: `WORKER_2_TEST_REDIS_URL` becomes the TEST_REDIS_URL of the second. */
export default class WorkerEnvironment extends FileEnvironment {
  constructor(...args) {
    const own = `WORKER_${process.env.JEST_WORKER_ID}_`;
    for (const [name, value] of Object.entries(process.env))
      if (name.startsWith(own)) process.env[name.slice(own.length)] = value;
    // Copies the environment for the file.
    super(...args);
  }
}
