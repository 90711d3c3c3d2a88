import type { DriftThresholds } from '#monitoring/drift/column_drift';

/** How the versions of a model are watched. */
export interface WatchSettings {
  /** A window with fewer predictions is not compared. */
  readonly minRows: number;
  /** Columns that differ by what they are, such as the hour of the day in a window of an hour. */
  readonly ignore: readonly string[];
  readonly thresholds: DriftThresholds;
  /** A version of which fewer outcomes are known is not judged. */
  readonly minLabels: number;
}

/** What one model has of its own; the rest is as for all. */
export type ModelWatch = {
  readonly [Name in Exclude<keyof WatchSettings, 'thresholds'>]?: WatchSettings[Name] | undefined;
} & {
  readonly thresholds?: { readonly [Name in keyof DriftThresholds]?: DriftThresholds[Name] | undefined } | undefined;
};

export interface WatchedModels {
  /** By model. */
  readonly models?: Readonly<Record<string, ModelWatch>>;
}

/** Returns the settings that hold for a model. */
export function watchOf<Settings extends Partial<WatchSettings> & WatchedModels>(
  settings: Settings,
  model: string,
): Settings {
  const own = settings.models?.[model];
  if (own === undefined) return settings;
  const { thresholds, ...rest } = own;
  const merged = { ...settings, ...defined(rest) };
  return settings.thresholds === undefined
    ? merged
    : { ...merged, thresholds: { ...settings.thresholds, ...defined(thresholds ?? {}) } };
}

const defined = <T extends object>(values: T): Partial<T> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
