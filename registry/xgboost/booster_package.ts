import type { JsonObject } from '#kernel/json';
import { Random } from '#kernel/random';
import { InvalidModelError } from '../errors.ts';
import type { ColumnType, InputColumn, ModelPackage, ModelSignature, Task } from '../packages/model_package.ts';
import type { Booster, BoosterColumn } from './booster.ts';
import { BOOSTER_INPUT, graphOf } from './booster_graph.ts';
import { predictRow } from './predict_row.ts';

const EXAMPLES = 16;
/** Of the values of an example, so many are missing. */
const MISSING = 1 / 8;

export interface BoosterNames {
  /** Of the columns, where the file has others or none. */
  readonly columns?: readonly string[] | undefined;
  /** Of the classes, or of the values of a model with several outputs. */
  readonly classes?: readonly string[] | undefined;
  /** Feature service or view that has the columns: `fraud@1`. */
  readonly service?: string | undefined;
}

/**
 * Returns a model of XGBoost as a package that serving takes. Its golden rows lie around the thresholds of its splits, with what the trees as they were
 * saved give for them: a graph that gives something else is refused when it is registered.
 *
 * @throws {@link InvalidModelError} for names that do not fit
 */
export function packageOfBooster(booster: Booster, names: BoosterNames = {}): ModelPackage {
  const { onnx, output, width } = graphOf(booster);
  const inputs = inputsOf(booster, names.columns);
  const task = taskOf(booster, width);
  const classes = classesOf(task, width, output, names.classes);
  const signature: ModelSignature = {
    ...{ inputs, task, classes, onnx: { input: BOOSTER_INPUT, output } },
    ...(names.service === undefined ? {} : { featureService: { service: names.service } }),
  };
  return { onnx, signature, examples: examplesOf(booster, inputs) };
}

function taskOf({ objective, groups }: Booster, width: number): Task {
  // Several targets with a probability each do not add up to 1.
  if (objective.isClassifier && (groups === 1 || objective.output === 'softmax')) {
    return width === 2 ? 'binary_classification' : 'multiclass_classification';
  }
  return groups === 1 ? 'regression' : 'values';
}

function classesOf(task: Task, width: number, output: string, given: readonly string[] | undefined): readonly string[] {
  const expected = task === 'regression' ? 0 : width;
  if (given !== undefined && given.length !== expected) {
    const what = expected === 0 ? 'it gives one value and has no classes' : `it has ${expected} outputs`;
    throw new InvalidModelError([`${given.length} classes are named, and ${what}`]);
  }
  const isValues = task === 'values';
  return given ?? Array.from({ length: expected }, (_, index) => (isValues ? `${output}.${index}` : String(index)));
}

const TYPES: Readonly<Record<string, ColumnType>> = { float: 'double', q: 'double', int: 'long', i: 'boolean' };

function inputsOf({ columns }: Booster, given: readonly string[] | undefined): readonly InputColumn[] {
  if (given !== undefined && given.length !== columns.length) {
    throw new InvalidModelError([`it has ${columns.length} columns, and ${given.length} are named`]);
  }
  const names = given ?? columns.map(({ name }) => name);
  const repeated = names.filter((name, at) => names.indexOf(name) !== at);
  if (repeated.length > 0) throw new InvalidModelError([`its columns ${repeated.join(', ')} come more than once`]);
  return columns.map((column, index) => {
    const name = names[index] as string;
    if (column.type !== 'c') {
      const type = TYPES[column.type];
      if (type === undefined)
        throw new InvalidModelError([`its column ${name} is of the type ${column.type}, which is not known`]);
      return { name, type, required: false };
    }
    const { categories } = column;
    if (typeof categories?.[0] === 'string') {
      const codes = Object.fromEntries((categories as readonly string[]).map((category, code) => [category, code]));
      return { name, type: 'string', required: false, categories: codes };
    }
    const isWhole = (categories as readonly number[] | undefined)?.every(Number.isInteger) ?? true;
    return { name, type: isWhole ? 'long' : 'double', required: false };
  });
}

function examplesOf(booster: Booster, inputs: readonly InputColumn[]): ModelPackage['examples'] {
  const random = new Random(1);
  const valuesOf = valuesByColumn(booster);
  return Array.from({ length: EXAMPLES }, () => {
    const row = new Float32Array(inputs.length).fill(Number.NaN);
    const features: Record<string, JsonObject[string]> = {};
    for (const [index, column] of inputs.entries()) {
      if (random.chance(MISSING)) continue;
      const value = pickValue(booster.columns[index] as BoosterColumn, column, valuesOf[index] as number[], random);
      row[index] = value;
      features[column.name] = shownAs(column, row[index] as number);
    }
    return { features, output: [...predictRow(booster, row)] };
  });
}

/** Thresholds of each column; codes or values of its categories. */
function valuesByColumn({ columns, trees }: Booster): readonly number[][] {
  const values = columns.map(({ categories }): number[] => {
    if (categories === undefined) return [0];
    return typeof categories[0] === 'number' ? [...(categories as readonly number[])] : [...categories.keys()];
  });
  for (const { left, columns: splits, thresholds, categories } of trees) {
    for (let node = 0; node < left.length; node += 1) {
      if (left[node] === -1) continue;
      const column = splits[node] as number;
      if (columns[column]?.categories !== undefined) continue;
      values[column]?.push(...(categories.get(node) ?? [thresholds[node] as number]).filter(Number.isFinite));
    }
  }
  return values;
}

function pickValue({ type }: BoosterColumn, column: InputColumn, values: readonly number[], random: Random): number {
  const [a, b] = [random.pick(values), random.pick(values)];
  if (type === 'c') return a;
  if (column.type === 'boolean') return random.integer(0, 2);
  return column.type === 'long' ? Math.round((a + b) / 2) : random.pick([a, (a + b) / 2]);
}

function shownAs({ type, categories = {} }: InputColumn, value: number): JsonObject[string] {
  if (type === 'boolean') return value === 1;
  return type === 'string' ? (Object.keys(categories).find((name) => categories[name] === value) ?? null) : value;
}
