import { InvalidPipelineError } from '#pipelines/engine/errors';
import * as runnerApi from '#pipelines/proto/beam_runner_api';
import type { AnyCoder, CoderProto } from './coders/coder.ts';
import { globalWindows, type StrategyProto, windowingStrategyProto } from './windows/windowing.ts';

export type PTransformProto = runnerApi.PTransform;
export type ComponentsProto = runnerApi.Components;
export type PCollectionProto = runnerApi.PCollection;

/** What a transform reads or makes: a collection, several in an array or object, or nothing. */
export type PValue = object | undefined;

/** A transform while it is applied: a function of its input; primitives also use the graph and fill in their message. */
export type AppliedTransform = (input: never, pipeline: BeamPipeline, proto: PTransformProto) => unknown;

/** Something of a graph that has an id in it. */
interface Identified {
  getId(): string;
}

const ENVIRONMENT = 'jsEnvironment';
const GLOBAL_WINDOWING = 'globalWindowing';
const LONGEST_SOURCE_NAME = 60;

/**
 * A Beam graph that is being built (beam_runner_api.proto, Pipeline): transforms within transforms, collections, coders and windowing
 * strategies, each under an id. The same calls in the same order give the same graph with the same ids.
 */
export class BeamPipeline {
  readonly defaultEnvironment = ENVIRONMENT;
  readonly #components: ComponentsProto;
  readonly #proto: runnerApi.Pipeline;
  /** Ids of the transforms that are being expanded, the innermost last. */
  readonly #expanding: string[] = [];
  readonly #usedNames = new Set<string>();
  /** Ids of coders and windowing strategies by their contents. */
  readonly #known = new Map<string, string>();
  #nextId = 0;

  constructor() {
    this.#components = runnerApi.Components.create();
    this.#proto = runnerApi.Pipeline.create({ components: this.#components });
    // `create` copies what it is given.
    this.#proto.components = this.#components;
    this.#components.environments[ENVIRONMENT] = runnerApi.Environment.create({ urn: 'js_default' });
    const strategy = windowingStrategyProto(this, { windowFn: globalWindows(), onTimeBehavior: 'always' });
    this.#components.windowingStrategies[GLOBAL_WINDOWING] = strategy;
    this.#known.set(strategyKey(strategy), GLOBAL_WINDOWING);
  }

  getProto(): runnerApi.Pipeline {
    return this.#proto;
  }

  /** Returns the id of a coder; equal coders have one id. */
  getCoderId(coder: Pick<AnyCoder, 'toProto'>): string {
    const { spec, componentCoderIds } = coder.toProto(this);
    return this.#idOf(coderKey({ spec, componentCoderIds }), 'coder', this.#components.coders, () =>
      runnerApi.Coder.create({ spec, componentCoderIds }),
    );
  }

  /** Adds a collection and returns its id; without `strategy`, it is in the windows on which its transform's inputs agree. */
  addCollection(
    coder: AnyCoder | string,
    strategy?: StrategyProto | string,
    isBounded: runnerApi.IsBounded_Enum = runnerApi.IsBounded_Enum.UNSPECIFIED,
  ): string {
    const id = this.#createId('pc');
    this.#components.pcollections[id] = runnerApi.PCollection.create({
      uniqueName: id,
      coderId: typeof coder === 'string' ? coder : this.getCoderId(coder),
      isBounded,
      windowingStrategyId: typeof strategy === 'object' ? this.strategyIdOf(strategy) : (strategy ?? ''),
    });
    return id;
  }

  /**
   * Applies a transform to its input, within those that are being expanded. A name that is taken gets a number, as in Beam's other SDKs.
   *
   * @throws {@link InvalidPipelineError} for a transform without a name; what the transform throws
   */
  apply<Output>(transform: AppliedTransform, input: PValue): Output {
    const parent = this.#components.transforms[this.#expanding.at(-1) ?? ''];
    const id = this.#createId('transform');
    (parent?.subtransforms ?? this.#proto.rootTransformIds).push(id);
    const proto = runnerApi.PTransform.create({
      uniqueName: this.#uniqueName(transform, parent),
      inputs: idsOf(input),
      environmentId: ENVIRONMENT,
    });
    this.#components.transforms[id] = proto;
    this.#expanding.push(id);
    let output: unknown;
    try {
      output = transform(input as never, this, proto);
    } finally {
      this.#expanding.pop();
    }
    proto.outputs = idsOf(output as PValue);
    this.#inherit(proto);
    return output as Output;
  }

  #uniqueName(transform: AppliedTransform, parent: PTransformProto | undefined): string {
    const prefix = parent === undefined ? '' : `${parent.uniqueName}/`;
    const name = nameOf(transform);
    let free = name;
    for (let number = 2; this.#usedNames.has(prefix + free); number += 1) free = `${name} ${number}`;
    this.#usedNames.add(prefix + free);
    return prefix + free;
  }

  /** Collections that say nothing else are as bounded as the inputs, and in their windows. */
  #inherit({ inputs, outputs }: PTransformProto): void {
    const { pcollections } = this.#components;
    const of = (ids: Readonly<Record<string, string>>): PCollectionProto[] =>
      Object.values(ids).map((id) => pcollections[id] as PCollectionProto);
    const from = of(inputs);
    for (const collection of of(outputs)) {
      const { UNSPECIFIED, BOUNDED } = runnerApi.IsBounded_Enum;
      if (collection.isBounded === UNSPECIFIED) {
        collection.isBounded = theOnly(from, 'isBounded', BOUNDED, collection.uniqueName);
      }
      if (collection.windowingStrategyId === '') {
        const { uniqueName } = collection;
        collection.windowingStrategyId = theOnly(from, 'windowingStrategyId', GLOBAL_WINDOWING, uniqueName);
      }
    }
  }

  /** Returns the id of a windowing strategy; equal ones have one id. */
  strategyIdOf(strategy: StrategyProto): string {
    return this.#idOf(strategyKey(strategy), 'windowing', this.#components.windowingStrategies, () => strategy);
  }

  #idOf<T>(key: string, prefix: string, within: { [id: string]: T }, make: () => T): string {
    let id = this.#known.get(key);
    if (id === undefined) {
      id = this.#createId(prefix);
      this.#known.set(key, id);
      within[id] = make();
    }
    return id;
  }

  #createId(prefix: string): string {
    const id = `${prefix}_${this.#nextId}`;
    this.#nextId += 1;
    return id;
  }
}

const coderKey = ({ spec, componentCoderIds }: CoderProto): string =>
  `coder ${spec.urn} ${Buffer.from(spec.payload).toString('base64')} ${componentCoderIds.join(' ')}`;

const strategyKey = (strategy: StrategyProto): string =>
  `strategy ${Buffer.from(runnerApi.WindowingStrategy.toBinary(strategy)).toString('base64')}`;

/** The value of the inputs, which must agree. */
function theOnly<Key extends keyof PCollectionProto>(
  inputs: readonly PCollectionProto[],
  key: Key,
  otherwise: PCollectionProto[Key],
  of: string,
): PCollectionProto[Key] {
  const values = new Set(inputs.map((input) => input[key]));
  if (values.size > 1) {
    throw new InvalidPipelineError(
      `the inputs of ${of} differ in ${String(key)} (${[...values].join(', ')}): put them into the same windows first`,
    );
  }
  const [value = otherwise] = values;
  return value;
}

const hasId = (value: object): value is Identified => typeof (value as Partial<Identified>).getId === 'function';

/** Ids of the collections in a value, by the way to each: `main` alone, `0`, `1` in an array, names in an object. */
function idsOf(value: PValue, path = ''): { [name: string]: string } {
  if (value === undefined || value === null || value instanceof BeamRoot) return {};
  if (hasId(value)) return { [path === '' ? 'main' : path]: value.getId() };
  const prefix = path === '' ? '' : `${path}.`;
  return Object.assign({}, ...Object.entries(value).map(([name, part]) => idsOf(part as PValue, prefix + name)));
}

/** Where a graph begins. */
export class BeamRoot {
  readonly #pipeline: BeamPipeline;

  constructor(pipeline: BeamPipeline) {
    this.#pipeline = pipeline;
  }

  apply<Output>(transform: (input: never) => Output): Output {
    return this.#pipeline.apply(transform as AppliedTransform, this);
  }
}

interface Named {
  beamName?: string;
}

/** Gives a transform or function the name it has in graphs. */
export function withName<Fn extends object>(name: string, fn: Fn): Fn {
  (fn as Named).beamName = name;
  return fn;
}

/** Returns the name that {@link withName} gave; `otherwise` without one. */
export const givenName = (fn: object, otherwise: string): string => (fn as Named).beamName ?? otherwise;

function nameOf(transform: AppliedTransform): string {
  const { beamName } = transform as Named;
  if (beamName !== undefined) return beamName;
  if (transform.name !== '' && transform.name !== 'anonymous') return transform.name;
  const source = String(transform).replace(/\s+/g, ' ').trim();
  if (source.length < LONGEST_SOURCE_NAME) return source;
  throw new InvalidPipelineError('a transform has no name: give it one with named(name, transform)');
}
