import { Correlation } from '#kernel/statistics/correlation';
import { measuredValue } from '../aggregation/statistics.ts';
import type { FeatureView } from '../definitions/feature_view.ts';
import type { FeatureValue } from '../definitions/values/feature_row.ts';
import type { FeatureType } from '../definitions/values/value_type.ts';
import type { LabelRow } from '../labels/label_store.ts';
import type { AskedMoment, RowValues } from './view_comparison.ts';

/** What a feature of one definition was at the times of labels. */
export interface LabelledSide {
  /** Labels at whose time there was no value. */
  readonly missing: number;
  /** Pearson's, of the values that are numbers or booleans with their labels; NaN where there are none, or one of the two does not vary. */
  readonly correlation: number;
}

export interface LabelledFeature {
  readonly feature: string;
  readonly before: LabelledSide;
  readonly after: LabelledSide;
}

/** How the features of two definitions go with labels, each read at the time of its label, as a training set reads them. */
export class LabelComparison {
  readonly labels: number;
  /** What the comparison of the views is to read. */
  readonly moments: readonly AskedMoment[];
  readonly #features: readonly { readonly feature: string; readonly before: Side; readonly after: Side }[];

  constructor(
    [before, after]: readonly [FeatureView, FeatureView],
    features: readonly string[],
    labels: readonly LabelRow[],
  ) {
    this.labels = labels.length;
    this.#features = features.map((feature) => ({
      ...{ feature, before: new Side(before, feature), after: new Side(after, feature) },
    }));
    this.moments = labels.map(({ entityKey, eventTime: timeMs, label }) => ({
      ...{ entityKey, timeMs },
      read: (was, is) => {
        for (const each of this.#features) {
          each.before.add(was, label);
          each.after.add(is, label);
        }
      },
    }));
  }

  results(): readonly LabelledFeature[] {
    return this.#features.map(({ feature, before, after }) => ({
      ...{ feature, before: before.result(), after: after.result() },
    }));
  }
}

class Side {
  readonly #feature: string;
  readonly #type: FeatureType | undefined;
  readonly #correlation = new Correlation();
  #missing = 0;

  constructor({ features }: FeatureView, feature: string) {
    this.#feature = feature;
    this.#type = features[feature]?.type;
  }

  add(values: RowValues | undefined, label: number): void {
    const value: FeatureValue = values?.[this.#feature] ?? null;
    if (value === null) this.#missing += 1;
    const measured = measuredValue(value, this.#type);
    if (typeof measured === 'number' || typeof measured === 'boolean') this.#correlation.add(Number(measured), label);
  }

  result(): LabelledSide {
    return { missing: this.#missing, correlation: this.#correlation.value };
  }
}
