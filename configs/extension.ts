import { z } from 'zod';
import { ConfigError } from './errors.ts';

/** A section of the settings that an extension of the project implements: `{ kind: extension, use: nats, settings: { … } }`. */
export const extensionSchema = z.strictObject({
  kind: z.literal('extension'),
  /** Name of the extension, as headwater.config.ts lists it. */
  use: z.string().min(1),
  /** Checked by the extension's own schema. */
  settings: z.record(z.string(), z.unknown()).default({}),
  /** Before names on servers that others use as well; default: the platform's `namespace`. */
  namespace: z.string().optional(),
});
export type ExtensionConfig = z.infer<typeof extensionSchema>;

/** Names of a type's methods that every implementation has. */
export type MethodsOf<T> = {
  [Name in keyof T]-?: undefined extends T[Name] ? never : T[Name] extends (...args: never[]) => unknown ? Name : never;
}[keyof T];

/** The methods that every implementation of a contract has, as an object so that a list which lacks one does not compile. */
export type MethodList<T> = Readonly<Record<MethodsOf<T>, true>>;

/**
 * Returns what an extension has created.
 *
 * @param what - for messages: `registry "folder"`
 * @throws {@link ConfigError} naming the methods that it lacks, so that a start fails and not the first request that needs one
 */
export function withMethods<T extends object>(what: string, created: T, methods: MethodList<T>): T {
  const missing = missingMethods(created, Object.keys(methods));
  if (missing.length === 0) return created;
  const list = missing.map((name) => `${name}()`).join(', ');
  throw new ConfigError(`${what}: what its create() returns has no ${list}: implement the contract's methods`);
}

/** Returns the names under which a value has no function. */
export const missingMethods = (value: unknown, names: readonly string[]): readonly string[] =>
  names.filter((name) => typeof (value as Readonly<Record<string, unknown>> | null | undefined)?.[name] !== 'function');

/** What a project adds to the platform under a name. */
export interface Extension<Settings = unknown> {
  /** What `use` names in the settings. */
  readonly name: string;
  /** Of `settings` there. */
  readonly settings: z.ZodType<Settings>;
}

/**
 * Finds the extension that a section uses, and checks its settings.
 *
 * @param section - of the settings, for messages: `broker`
 * @param list - of headwater.config.ts, for messages: `connectors`
 * @throws {@link ConfigError} when no extension has the name, or its schema refuses the settings
 */
export function resolveExtension<E extends Extension>(
  section: string,
  list: string,
  extensions: readonly E[],
  { use, settings }: Pick<ExtensionConfig, 'use' | 'settings'>,
): { readonly extension: E; readonly settings: unknown } {
  const extension = extensions.find(({ name }) => name === use);
  if (extension === undefined) {
    const known = extensions.map(({ name }) => name).join(', ') || 'none';
    throw new ConfigError(
      `${section}.use: no extension is called "${use}"; \`${list}\` in headwater.config.ts has ${known}`,
    );
  }
  const parsed = extension.settings.safeParse(settings);
  if (parsed.success) return { extension, settings: parsed.data };
  const problems = parsed.error.issues.map(
    ({ path, message }) => `${[section, 'settings', ...path].map(String).join('.')}: ${message}`,
  );
  throw new ConfigError(problems.join('\n'));
}
