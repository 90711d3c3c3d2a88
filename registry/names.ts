import { z } from 'zod';
import { InvalidNameError } from './errors.ts';

// Names reach a registry from requests, commands and configuration. They are checked here, once, before they become part of a path, a filter or a key.

/** A model's name that {@link checkModelName} has accepted. */
export type ModelName = string & { readonly __brand: 'ModelName' };

const LONGEST_NAME = 128;
/** Letters, digits and marks of any script; space, dot, hyphen and underscore within. */
const MODEL_NAME = /^[\p{L}\p{N}_](?:[\p{L}\p{M}\p{N} ._-]*[\p{L}\p{M}\p{N}_-])?$/u;
const MODEL_NAME_RULE = `must have 1 to ${LONGEST_NAME} letters, digits, "_", "-", "." or spaces; begin with a letter, a digit or "_"; not end with "." or a space; be in Unicode form NFC`;

/** As MLflow: `latest` and `v3` mean versions there. */
const ALIAS = /^(?!latest$)(?!v\d+$)[A-Za-z0-9_-]{1,255}$/i;
const ALIAS_RULE = 'must have 1 to 255 letters, digits, "_" or "-", and not be "latest" or like "v3"';

const FILE_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/;
const FILE_NAME_RULE = 'must have 1 to 128 letters, digits, "_", "-" or ".", and not begin with "."';

const TAG = /^[A-Za-z0-9_-][A-Za-z0-9_./ -]{0,249}$/;
const TAG_RULE = 'must have 1 to 250 letters, digits, "_", "-", ".", "/" or spaces';

const isModelName = (name: unknown): name is ModelName =>
  typeof name === 'string' && name.length <= LONGEST_NAME && MODEL_NAME.test(name) && name.normalize('NFC') === name;

/** Returns the name. @throws {@link InvalidNameError} naming the value and the rule */
export function checkModelName(name: string): ModelName {
  if (isModelName(name)) return name;
  throw new InvalidNameError('a model name', name, MODEL_NAME_RULE);
}

/** Tells whether the platform can use a model of this name. */
export const acceptsModelName = isModelName;

/** Returns the version as it is written in paths and requests. @throws {@link InvalidNameError} */
export function checkVersion(version: number): string {
  if (typeof version === 'number' && Number.isSafeInteger(version) && version >= 1) return String(version);
  throw new InvalidNameError('a model version', version, 'must be an integer from 1');
}

/** @throws {@link InvalidNameError} */
export const checkAlias = (alias: string): string => checked('an alias', alias, ALIAS, ALIAS_RULE);

/** Checks the name of a file that goes with a version. @throws {@link InvalidNameError} */
export const checkFileName = (name: string): string => checked('a file of a model', name, FILE_NAME, FILE_NAME_RULE);

/** @throws {@link InvalidNameError} */
export const checkTag = (key: string): string => checked('a tag', key, TAG, TAG_RULE);

function checked(what: string, value: string, pattern: RegExp, rule: string): string {
  if (typeof value === 'string' && pattern.test(value)) return value;
  throw new InvalidNameError(what, value, rule);
}

/** Of configuration. */
export const modelNameSchema = z
  .string()
  .refine((name: string) => isModelName(name) as boolean, `a model name ${MODEL_NAME_RULE}`);
export const aliasSchema = z.string().regex(ALIAS, `an alias ${ALIAS_RULE}`);

const LONGEST_FOLDER = 255;

/**
 * Returns the folder of a model: the name itself where it has ASCII letters, digits, "_", "-" and "." alone, other characters percent-encoded.
 * {@link modelOfFolder} is its inverse.
 *
 * @throws {@link InvalidNameError} when file systems do not take a name so long
 */
export function folderOfModel(name: ModelName): string {
  const folder = encodeURIComponent(name);
  if (folder.length <= LONGEST_FOLDER) return folder;
  throw new InvalidNameError('a model name', name, `must take at most ${LONGEST_FOLDER} characters percent-encoded`);
}

/** Returns undefined for a folder that {@link folderOfModel} does not give. */
export function modelOfFolder(folder: string): ModelName | undefined {
  try {
    const name = decodeURIComponent(folder);
    return isModelName(name) && folderOfModel(name) === folder ? name : undefined;
  } catch {
    return undefined;
  }
}
