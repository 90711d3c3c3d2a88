import { createRequire } from 'node:module';
import type * as CoderTypes from 'apache-beam/coders/js_coders';
import type * as RequiredCoderTypes from 'apache-beam/coders/required_coders';
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
export const { GeneralObjectCoder } = require('apache-beam/coders/js_coders') as typeof CoderTypes;
export const { BytesCoder, KVCoder } = require('apache-beam/coders/required_coders') as typeof RequiredCoderTypes;

export type BeamPipeline = PipelineTypes.Pipeline;
export type PTransformProto = RunnerApi.PTransform;
export type ComponentsProto = RunnerApi.Components;
