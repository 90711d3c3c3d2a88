/** A deferred, possibly unbounded collection: apache-beam's own PCollection, with types that flow through `apply`. */
export interface PCollection<T> {
  /** Phantom: only for inference. */
  readonly elementType?: T;
  getId(): string;
  apply<Output>(transform: PTransform<PCollection<T>, Output>): Output;
  /** One output for each element. */
  map<Out>(fn: (element: T) => Out): PCollection<Out>;
  /** Any number of outputs for each element. */
  flatMap<Out>(fn: (element: T) => Iterable<Out>): PCollection<Out>;
}

/** Where a graph begins: apache-beam's own Root. */
export interface PipelineRoot {
  apply<Output>(transform: PTransform<PipelineRoot, Output>): Output;
}

/** A function from input to output collections; made by {@link parDo} and its kin, or written by composing others. */
export type PTransform<Input, Output> = (input: Input) => Output;

/** An element of a keyed collection. */
export interface KV<K, V> {
  readonly key: K;
  readonly value: V;
}
