/** Values of columns that folders name: `year=2026/month=01/…`, as Hive, Spark and Arrow write them. Null: the value is missing. */
export type PartitionValues = Readonly<Record<string, string | null>>;

/** Spark's and Hive's name of a folder of rows without a value. */
const MISSING = '__HIVE_DEFAULT_PARTITION__';
const FOLDER = /^([^=]+)=(.*)$/s;

/** Returns the columns that the folders of a path name; undefined when none does. */
export function partitionValues(path: string): PartitionValues | undefined {
  let found: Record<string, string | null> | undefined;
  for (const folder of path.split('/').slice(0, -1)) {
    const [, name, value] = FOLDER.exec(folder) ?? [];
    if (name === undefined || value === undefined) continue;
    found ??= {};
    found[decoded(name)] = value === MISSING || value === '' ? null : decoded(value);
  }
  return found;
}

/** Spark escapes what file systems do not take: `%3A`. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
