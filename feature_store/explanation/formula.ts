import { durationText } from '#kernel/times/duration';
import type { Feature } from '../definitions/feature.ts';

type Code = (...args: never[]) => unknown;

const sourceOf = (fn: unknown): string => Function.prototype.toString.call(fn as Code);

/** Returns how a feature is computed, as its definition has it: the aggregation with its field and window, or the source of its function. */
export function formulaOf(feature: Feature): string {
  switch (feature.kind) {
    case 'window': {
      const { aggregation, field, parameter, windowMs, where } = feature;
      const of = [field ?? '*', ...(parameter === undefined ? [] : [`${parameter}`])].join(', ');
      const filter = where === undefined ? '' : ` where ${sourceOf(where)}`;
      return `${aggregation}(${of}) over ${durationText(windowMs)}${filter}`;
    }
    case 'session':
      return `${feature.measure} of the session with gaps below ${durationText(feature.gapMs)}`;
    case 'event':
      return feature.field === undefined ? sourceOf(feature.compute) : `field ${feature.field}`;
    case 'previous':
      return sourceOf(feature.compute);
    case 'expression':
    case 'as_of':
      return `${sourceOf(feature.compute)} of ${feature.inputs.join(', ')}`;
  }
}
