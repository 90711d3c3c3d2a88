import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';
import { type SparseRow, WIDTH } from './features.ts';
import { LANGUAGES, type Language } from './languages.ts';
import { TOPICS } from './lexicons/lexicon.ts';

export const SENTIMENTS = ['negative', 'neutral', 'positive'] as const;
export type Sentiment = (typeof SENTIMENTS)[number];
/** Outputs of a model, in order. */
export const OUTPUTS = ['adverse_event', ...SENTIMENTS, ...TOPICS] as const;
export type Output = (typeof OUTPUTS)[number];

/** Probabilities, one against the rest each. */
export type Scores = Readonly<Record<Output, number>>;

/** What the training chose beside the weights. */
export interface ModelCard {
  /** A text with this probability or a higher one is an adverse event. */
  readonly threshold: number;
  /** How far the logits of common sentiments and topics were lowered to those of rare ones, from 0 to 1. */
  readonly balance: number;
  readonly seed: number;
  readonly sentences: number;
}

/** The parts of onnx.proto that hold weights (ONNX 1.16, Apache-2.0). */
const ModelProto = protobuf.Root.fromJSON({
  nested: {
    Model: { fields: { graph: { type: 'Graph', id: 7 } } },
    Graph: { fields: { initializer: { rule: 'repeated', type: 'Tensor', id: 5 } } },
    Tensor: { fields: { name: { type: 'string', id: 8 }, rawData: { type: 'bytes', id: 9 } } },
  },
}).lookupType('Model');

/**
 * A logistic regression from its ONNX file. Rows have a few hundred columns of thirty thousand that are not 0: adding up their weights costs a
 * tenth of what running the graph does, and a schema can do it while it parses.
 */
export class LinearModel {
  readonly card: ModelCard;
  readonly #weights: Float32Array;
  readonly #bias: Float32Array;

  constructor(onnx: Uint8Array, card: ModelCard) {
    const { graph } = ModelProto.decode(onnx) as unknown as {
      graph: { initializer: readonly { name: string; rawData: Uint8Array }[] };
    };
    const tensor = (name: string): Float32Array => {
      const found = graph.initializer.find((each) => each.name === name);
      if (found === undefined) throw new Error(`the model has no tensor "${name}": train it again`);
      return new Float32Array(Uint8Array.from(found.rawData).buffer);
    };
    this.#weights = tensor('layer0_weights');
    this.#bias = tensor('layer0_bias');
    this.card = card;
    if (this.#bias.length !== OUTPUTS.length || this.#weights.length !== WIDTH * OUTPUTS.length)
      throw new Error(`the model is not of ${WIDTH} columns and ${OUTPUTS.length} outputs: train it again`);
  }

  scores({ columns, values }: SparseRow): Scores {
    const sums = Float64Array.from(this.#bias);
    for (let at = 0; at < columns.length; at += 1) {
      const from = (columns[at] as number) * OUTPUTS.length;
      const value = values[at] as number;
      for (let output = 0; output < OUTPUTS.length; output += 1)
        sums[output] = (sums[output] as number) + value * (this.#weights[from + output] as number);
    }
    return Object.fromEntries(
      OUTPUTS.map((name, at) => [name, 1 / (1 + Math.exp(-(sums[at] as number)))]),
    ) as unknown as Scores;
  }
}

const models = new Map<Language, LinearModel>();

export const modelUrl = (language: Language, file: string): URL =>
  new URL(`../models/insights/${language}/${file}`, import.meta.url);

/** Returns the model of a language, read at its first use. @throws where its files cannot be read */
export function modelOf(language: Language): LinearModel {
  const known = models.get(language);
  if (known !== undefined) return known;
  const made = readModel(language);
  models.set(language, made);
  return made;
}

function readModel(language: Language): LinearModel {
  try {
    const card = JSON.parse(readFileSync(modelUrl(language, 'card.json'), 'utf8')) as ModelCard;
    return new LinearModel(readFileSync(modelUrl(language, 'model.onnx')), card);
  } catch (error) {
    throw new Error(`models/insights/${language} cannot be read: copy it from a release, or run npm run train`, {
      cause: error,
    });
  }
}

/** Reads the models of all languages, so that no comment is the first to find that one is missing. @throws as {@link modelOf} does */
export const readModels = (): void => {
  for (const language of LANGUAGES) modelOf(language);
};
