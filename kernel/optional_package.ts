import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { PlatformError } from './errors.ts';
import { assetPath } from './project_root.ts';

/** A package that not every project needs is not installed. */
export class PackageMissingError extends PlatformError {
  readonly code = 'KERNEL_PACKAGE_MISSING';
  readonly packages: readonly string[];

  constructor(packages: readonly string[], use: string, cause?: unknown) {
    super(`${use} needs ${packages.join(' and ')}, which is not installed: ${installCommand(packages)}`, {
      fault: 'caller',
      retryable: false,
      cause,
    });
    this.packages = packages;
  }
}

interface PackageJson {
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

let peers: Readonly<Record<string, string>> | undefined;

/** Returns the optional packages of this version with their ranges, as package.json declares them (`peerDependencies`). */
export function optionalPackages(): Readonly<Record<string, string>> {
  peers ??= (JSON.parse(readFileSync(assetPath('package.json'), 'utf8')) as PackageJson).peerDependencies ?? {};
  return peers;
}

/** Returns the version of an optional package that this version of the platform is tested with. */
export const testedVersion = (name: string): string => (optionalPackages()[name] ?? 'latest').replace(/^[\^~]/, '');

/** Returns `npm install PKG@VERSION …`. */
export const installCommand = (packages: readonly string[]): string =>
  `npm install ${packages.map((name) => `${name}@${testedVersion(name)}`).join(' ')}`;

/** What needs optional packages: `broker.kind kinesis` needs `@aws-sdk/client-kinesis`. */
export interface OptionalUse {
  /** Named in `peerDependencies` of package.json, with `optional` in `peerDependenciesMeta`. */
  readonly packages: readonly string[];
  /** The subject of the error's message: a setting, a command, an export. */
  readonly use: string;
}

/**
 * Imports what needs optional packages: `await importOptional({ packages: ['esbuild'], use: 'headwater models bundle' }, () => import('esbuild'))`.
 *
 * @param load - imports the packages, or a module of the platform that imports them
 * @throws {@link PackageMissingError} when one of them is not installed
 */
export async function importOptional<T>(use: OptionalUse, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    throw missingPackage(use, error) ?? error;
  }
}

const require = createRequire(import.meta.url);

/**
 * Checks that optional packages are installed, without loading them: for packages that a worker thread or another process loads.
 *
 * @throws {@link PackageMissingError} when one of them is not
 */
export function requireInstalled(use: OptionalUse): void {
  for (const name of use.packages) {
    try {
      require.resolve(name);
    } catch (error) {
      const missing = missingPackage(use, error);
      if (missing !== undefined) throw missing;
    }
  }
}

/** Returns the error for a failed load of one of the packages; undefined when it failed for another reason. */
export function missingPackage({ packages, use }: OptionalUse, error: unknown): PackageMissingError | undefined {
  const { code, message = '' } = error as { readonly code?: string; readonly message?: string };
  if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') return undefined;
  // "Cannot find package 'x' imported from …" of import, "Cannot find module 'x/y'" of require.
  const [, found = ''] = /^Cannot find (?:package|module) '([^']+)'/.exec(message) ?? [];
  const isOfThese = packages.some((name) => found === name || found.startsWith(`${name}/`));
  return isOfThese ? new PackageMissingError(packages, use, error) : undefined;
}
