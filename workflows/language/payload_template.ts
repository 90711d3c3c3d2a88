import type { JsonObject, JsonValue } from '#kernel/json';
import { evaluateIntrinsic, intrinsicProblem } from './intrinsics.ts';
import { pathProblem, type Scope, valueAt } from './paths.ts';
import { parameterPathFailure } from './state_error.ts';

const DYNAMIC = '.$';

/** Returns a template (Parameters, ResultSelector, ItemSelector) with the values of its fields that end in `.$`. */
export function filledTemplate(template: JsonValue, scope: Scope): JsonValue {
  if (Array.isArray(template)) return template.map((item: JsonValue) => filledTemplate(item, scope));
  if (typeof template !== 'object' || template === null) return template;
  const fields = Object.entries(template as JsonObject).map(([name, value]) =>
    name.endsWith(DYNAMIC)
      ? ([name.slice(0, -DYNAMIC.length), dynamicValue(value, scope)] as const)
      : ([name, filledTemplate(value as JsonValue, scope)] as const),
  );
  return Object.fromEntries(fields) as JsonObject;
}

/** Returns the value of a path or of an intrinsic function. */
export function dynamicValue(text: JsonValue | undefined, scope: Scope): JsonValue {
  if (typeof text !== 'string') throw parameterPathFailure(`expected a path, got ${JSON.stringify(text)}`);
  return text.startsWith('$') ? valueAt(text, scope) : evaluateIntrinsic(text, scope);
}

/** Returns what is wrong with the paths and functions of a template, each with its place. */
export function templateProblems(template: unknown, place: string): readonly string[] {
  if (Array.isArray(template)) return template.flatMap((item, index) => templateProblems(item, `${place}[${index}]`));
  if (typeof template !== 'object' || template === null) return [];
  return Object.entries(template).flatMap(([name, value]) => {
    const at = `${place}.${name}`;
    if (!name.endsWith(DYNAMIC)) return templateProblems(value, at);
    const problem = dynamicProblem(value);
    return problem === undefined ? [] : [`${at}: ${problem}`];
  });
}

/** Returns what is wrong with a path or an intrinsic function. */
export function dynamicProblem(text: unknown): string | undefined {
  if (typeof text !== 'string')
    return `a field whose name ends in ".$" takes a path or an intrinsic function, not ${JSON.stringify(text)}`;
  return text.startsWith('$') ? pathProblem(text) : intrinsicProblem(text);
}
