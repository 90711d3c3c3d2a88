import { TestEnvironment } from 'jest-environment-node';

/** A limit ends a test that hangs; it does not measure. Several files run at a time, start processes of their own, and run on machines that differ by a factor of four. */
const TIMES_AS_LONG = 4;
/** Of tests that name none, as in jest.config.mjs. */
const LIMIT_MS = 30_000;

/**
 * The realm of a test file.
 *
 * Jest gives each file one of its own; native addons check their arguments against the outer realm's typed arrays ("data must be type of function
 * Float32Array()"): those are shared.
 */
export default class FileEnvironment extends TestEnvironment {
  /** A hook starts once for each test: its limit is multiplied once. */
  #limited = new WeakSet();

  async setup() {
    await super.setup();
    for (const type of [
      Float32Array,
      Float64Array,
      Int8Array,
      Int16Array,
      Int32Array,
      Uint8Array,
      Uint16Array,
      Uint32Array,
      BigInt64Array,
      BigUint64Array,
      ArrayBuffer,
    ]) {
      this.global[type.name] = type;
    }
  }

  handleTestEvent({ name, test, hook }) {
    const limited = { test_start: test, hook_start: hook }[name];
    if (limited === undefined || this.#limited.has(limited)) return;
    this.#limited.add(limited);
    limited.timeout = (limited.timeout ?? LIMIT_MS) * TIMES_AS_LONG;
  }
}
