// Tags that go with a version wherever it is copied to. What is done to a version is in other tags, which stay where it was done.

/** "green", or what spoke against the data that it was trained on. */
export const DATA_QUALITY_TAG = 'headwater.data_quality';
export const GREEN = 'green';
/** SHA-256 of the training set's data. */
export const TRAINING_SET_TAG = 'headwater.training_set';
/** The commit that it was trained from, of the folder that the command ran in. */
export const CODE_TAG = 'headwater.code';

const CARRIED: readonly string[] = [DATA_QUALITY_TAG, TRAINING_SET_TAG, CODE_TAG];

/** Those of a version's tags that go with it. */
export const carriedTags = (tags: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(tags).filter(([tag]) => CARRIED.includes(tag)));
