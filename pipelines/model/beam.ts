import { createRequire } from 'node:module';
import type * as CoderRegistryTypes from 'apache-beam/coders/coders';
import type * as CoderTypes from 'apache-beam/coders/js_coders';
import type * as PipelineTypes from 'apache-beam/internal/pipeline';
import type * as RunnerApi from 'apache-beam/proto/beam_runner_api';
import type * as PValueTypes from 'apache-beam/pvalue';
import type * as TransformTypes from 'apache-beam/transforms/transform';

/**
 * The one door to the npm package apache-beam. Two repairs come first: Node 24 removed `util.isPrimitive`, which one of its
 * dependencies calls at import; and the function that turns closures into text (losing what they captured) is replaced by
 * a table, so that a function is found again by reference, as any function in a Node program is. The latter is looked up at
 * each call, so it does not matter who loaded apache-beam first.
 */
const require = createRequire(import.meta.url);

const util = require('node:util') as { isPrimitive?: (value: unknown) => boolean };
util.isPrimitive ??= (value) => value === null || (typeof value !== 'object' && typeof value !== 'function');

const REFERENCE = 'headwater:function:';
const functions = new Map<string, unknown>();
let nextFunction = 0;

const fromBeam = createRequire(require.resolve('apache-beam'));
const closures = fromBeam('serialize-closures/dist/src/serialize') as { default: (value: unknown) => unknown };
closures.default = (value) => {
  const reference = `${REFERENCE}${nextFunction}`;
  nextFunction += 1;
  functions.set(reference, value);
  return reference;
};

/** What apache-beam would have serialised into this payload; undefined when it is something else. */
export function functionOf(payload: Uint8Array): unknown {
  const reference: unknown = JSON.parse(new TextDecoder().decode(payload));
  return typeof reference === 'string' ? functions.get(reference) : undefined;
}

// Its modules import each other in circles; its index knows an order in which they load.
require('apache-beam');
export const runnerApi = require('apache-beam/proto/beam_runner_api') as typeof RunnerApi;
export const { Pipeline } = require('apache-beam/internal/pipeline') as typeof PipelineTypes;
export const { Root, PCollection: BeamPCollection, P } = require('apache-beam/pvalue') as typeof PValueTypes;
export const { withName } = require('apache-beam/transforms/transform') as typeof TransformTypes;

/** apache-beam's coder for anything becomes ours in a graph: it keeps types that its own (BSON) loses. */
const { GeneralObjectCoder } = require('apache-beam/coders/js_coders') as typeof CoderTypes;
const { globalRegistry } = require('apache-beam/coders/coders') as typeof CoderRegistryTypes;
GeneralObjectCoder.prototype.toProto = () => ({
  spec: { urn: 'headwater:coder:value:v1', payload: new Uint8Array(0) },
  componentCoderIds: [],
});
for (const urn of ['headwater:coder:value:v1', 'headwater:coder:key:v1']) {
  globalRegistry().registerConstructor(urn, () => new GeneralObjectCoder());
}

// A name that is taken gets a number, as in Beam's other SDKs; the same graph always gets the same names.
const { extractName } = require('apache-beam/transforms/transform') as typeof TransformTypes;
const { preApplyTransform } = Pipeline.prototype;
Pipeline.prototype.preApplyTransform = function unique(
  this: PipelineTypes.Pipeline,
  transform: object,
  input: unknown,
) {
  const parentId = this.transformStack.at(-1);
  const parent = parentId === undefined ? '' : `${this.getProto().components?.transforms[parentId]?.uniqueName}/`;
  const name = extractName(transform as never);
  let free = name;
  for (let number = 2; this.usedStageNames.has(parent + free); number += 1) free = `${name} ${number}`;
  return preApplyTransform.call(this, withName(free, transform as never), input as never);
} as typeof preApplyTransform;

export type BeamPipeline = PipelineTypes.Pipeline;
export type PTransformProto = RunnerApi.PTransform;
export type ComponentsProto = RunnerApi.Components;
