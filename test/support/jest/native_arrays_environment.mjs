import { TestEnvironment } from 'jest-environment-node';

/**
 * Jest gives each test file a realm of its own; native addons check their arguments against the outer
 * realm's typed arrays ("data must be type of function Float32Array()"). Share the outer ones.
 */
export default class NativeArraysEnvironment extends TestEnvironment {
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
}
