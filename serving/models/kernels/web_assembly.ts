/** As much of it as is used here: TypeScript knows it with the DOM alone. */
declare const WebAssembly: {
  readonly Memory: new (size: {
    readonly initial: number;
  }) => {
    readonly buffer: ArrayBuffer;
    grow(pages: number): number;
  };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
};

const PAGE = 65_536;

/** The memory of a kernel. Its bytes are others once it has grown. */
export class Memory {
  readonly #memory: InstanceType<typeof WebAssembly.Memory>;
  #bytes: Buffer<ArrayBuffer>;

  /** @param bytes - at least */
  constructor(bytes: number) {
    this.#memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE) });
    this.#bytes = Buffer.from(this.#memory.buffer);
  }

  get bytes(): Buffer<ArrayBuffer> {
    return this.#bytes;
  }

  /** Grows to hold so many bytes, by half at least. */
  reserve(bytes: number): void {
    const { length } = this.#bytes;
    if (bytes <= length) return;
    this.#memory.grow(Math.ceil(Math.max(bytes - length, length / 2) / PAGE));
    this.#bytes = Buffer.from(this.#memory.buffer);
  }

  /** What instances import. */
  get handle(): object {
    return this.#memory;
  }
}

/** @param base64 - of a module. @returns what makes an instance of it: its exports, by the memory that it works on and what else it imports */
export function loadKernel(base64: string): (memory: Memory, imports?: object) => unknown {
  const module = new WebAssembly.Module(Buffer.from(base64, 'base64'));
  return (memory, imports = {}) =>
    new WebAssembly.Instance(module, { env: { memory: memory.handle }, ...imports }).exports;
}
