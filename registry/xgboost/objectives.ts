/** What an objective makes of the sum of a model's trees, which XGBoost calls the margin. */
export interface Objective {
  /** Of the base score, which is saved as a prediction: the margin that stands for it. */
  readonly link: 'identity' | 'logit' | 'log';
  /** Of the margin: the prediction. */
  readonly output: 'identity' | 'logistic' | 'exp' | 'softmax' | 'step';
  readonly isClassifier: boolean;
}

const value: Objective = { link: 'identity', output: 'identity', isClassifier: false };
const rate: Objective = { link: 'log', output: 'exp', isClassifier: false };

/** Objectives of XGBoost 1.0 to 3.2, by their names (doc/parameter.rst; src/objective). */
export const OBJECTIVES: Readonly<Record<string, Objective>> = {
  'binary:logistic': { link: 'logit', output: 'logistic', isClassifier: true },
  'binary:logitraw': value,
  'binary:hinge': { link: 'identity', output: 'step', isClassifier: true },
  'multi:softprob': { link: 'identity', output: 'softmax', isClassifier: true },
  'multi:softmax': { link: 'identity', output: 'softmax', isClassifier: true },
  'reg:logistic': { link: 'logit', output: 'logistic', isClassifier: false },
  'reg:squarederror': value,
  'reg:linear': value,
  'reg:squaredlogerror': value,
  'reg:pseudohubererror': value,
  'reg:absoluteerror': value,
  'reg:quantileerror': value,
  'rank:pairwise': value,
  'rank:ndcg': value,
  'rank:map': value,
  'count:poisson': rate,
  'reg:gamma': rate,
  'reg:tweedie': rate,
  'survival:cox': rate,
  'survival:aft': rate,
};

const LINKS: Readonly<Record<Objective['link'], (prediction: number) => number>> = {
  identity: (prediction) => prediction,
  logit: (prediction) => -Math.log(1 / prediction - 1),
  log: Math.log,
};

/** Returns the margin of a base score. */
export const marginOf = ({ link }: Objective, baseScore: number): number => LINKS[link](baseScore);
