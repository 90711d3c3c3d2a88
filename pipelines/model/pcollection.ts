/** A deferred, possibly unbounded collection of a Beam graph. */
export interface PCollection<T> {
  /** Phantom: only for inference. */
  readonly elementType?: T;
  getId(): string;
  /** Returns where its graph begins. */
  root(): PipelineRoot;
  apply<Output>(transform: PTransform<PCollection<T>, Output>): Output;
  /** One output for each element. */
  map<Out>(fn: (element: T) => Out): PCollection<Out>;
  /** Any number of outputs for each element. */
  flatMap<Out>(fn: (element: T) => Iterable<Out>): PCollection<Out>;
}

/** Where a graph begins. */
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
