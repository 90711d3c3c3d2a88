import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { testedVersion } from '#kernel/optional_package';
import { assetPath, projectRoot } from '#kernel/project_root';
import { configFileOf } from '../project/loading/find_project.ts';
import { print } from '../terminal/print.ts';
import { UsageError } from '../terminal/usage_error.ts';
import { writeDeployment } from './deployment.ts';
import { commonFiles, type Deployment, minimalFiles, type ProjectFacts, readmeOf, type Template } from './templates.ts';

export interface InitOptions {
  readonly template: Template;
  /** Files for a deployment, beside the project. */
  readonly deploy?: Deployment;
  /** Replaces files of a deployment that differ. */
  readonly force?: boolean;
  /** What package.json depends on, instead of the package that runs. */
  readonly headwater?: string;
}

const LONGEST_NAME = 100;

/** Returns a name that npm, Docker and Kubernetes take, made of a folder's: `my-app` of "My App". @throws {@link UsageError} where nothing is left of it */
function packageNameOf(root: string): string {
  const folder = basename(root);
  const name = folder
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9._]+/g, '-')
    .replaceAll(/^[^a-z0-9]+|[^a-z0-9]+$/g, '')
    .slice(0, LONGEST_NAME);
  if (name !== '' && !RESERVED.has(name)) return name;
  throw new UsageError(
    `"${folder}" cannot be a package's name: take a folder with letters or digits in its name${name === '' ? '' : ', and no name that npm reserves'}`,
  );
}

const RESERVED: ReadonlySet<string> = new Set(['node_modules', 'favicon.ico', ...builtinModules, 'headwater']);
/** What an empty repository may have. */
const HARMLESS: ReadonlySet<string> = new Set(['.git', '.gitignore', 'LICENSE', '.DS_Store', '.idea', '.vscode']);

/** `headwater init my-app --template fraud`: writes a project. With --deploy in a folder that is one already, adds the files for a deployment alone. Nothing is overwritten. */
export async function initProject(folder: string | undefined, options: InitOptions): Promise<void> {
  const { deploy, force = false } = options;
  const root = resolve(folder ?? '.');
  if (deploy === undefined || configFileOf(root) === undefined) await writeProject(folder, options);
  if (deploy !== undefined) await writeDeployment(root, deploy, imageOf(root), force);
}

async function writeProject(folder: string | undefined, { template, headwater }: InitOptions): Promise<void> {
  if (folder === undefined) {
    throw new UsageError(
      'name the folder of the new project; --deploy without one adds to the project of this folder, which has no headwater.config.ts',
    );
  }
  const root = resolve(folder);
  const name = packageNameOf(root);
  const held = existsSync(root) ? readdirSync(root).filter((each) => !HARMLESS.has(each)) : [];
  if (held.length > 0) {
    throw new UsageError(
      `${root} is not empty (${held.slice(0, 3).join(', ')}${held.length > 3 ? ', …' : ''}): name another folder`,
    );
  }
  const facts = factsOf(root, { template, ...(headwater === undefined ? {} : { headwater }) });
  const files = {
    ...commonFiles(facts),
    ...(template === 'minimal' ? minimalFiles() : {}),
    'README.md': readmeOf(facts),
  };
  if (template !== 'minimal') await copyTemplate(template, root, new Set(Object.keys(files)));
  for (const [path, text] of Object.entries(files)) {
    const file = join(root, path);
    if (existsSync(file)) continue;
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }
  const at = relative(process.cwd(), root) || '.';
  print(`${name}: a project of the template "${template}" in ${at}`);
  const shown = /^[\w./-]+$/.test(at) ? at : `'${at.replaceAll("'", "'\\''")}'`;
  print(`\n  cd ${shown}\n  npm install\n  npm run dev\n`);
  const workspaces = workspacesAbove(root);
  if (workspaces !== undefined) {
    print(
      `${workspaces} is a root of workspaces: npm reads overrides, allowScripts and .npmrc there alone, so move those of ${at} there`,
    );
  }
}

/** Returns the nearest package.json above that has workspaces. */
function workspacesAbove(root: string): string | undefined {
  for (let at = dirname(root); at !== dirname(at); at = dirname(at)) {
    if (packageAt(at)?.workspaces !== undefined) return join(at, 'package.json');
  }
  return undefined;
}

/** Returns what the files of a project in this folder say of it. */
export function factsOf(root: string, { template, headwater }: InitOptions): ProjectFacts {
  const { dependencies = {}, devDependencies = {} } = ownPackage();
  return {
    ...{ name: packageNameOf(root), template, headwater: headwater ?? dependencyOnThis(root) },
    version: ownPackage().version,
    ...{ zod: dependencies.zod ?? '4', pubsub: testedVersion('@google-cloud/pubsub') },
    ...{ typescript: devDependencies.typescript ?? '7', nodeTypes: devDependencies['@types/node'] ?? '20' },
  };
}

/** Returns what the image of a project is called by: the name of its package. */
function imageOf(root: string): Pick<ProjectFacts, 'name' | 'version'> {
  const name = packageAt(root)?.name ?? packageNameOf(root);
  return { name: name.replace(/^@/, ''), version: ownPackage().version };
}

/** What a template has of its own, among files that every project has. */
const KEPT_OF_TEMPLATE: ReadonlySet<string> = new Set(['headwater.config.ts', 'configs/default.yaml']);

/** Copies an example of the repository, as the package carries it, but for files that are written for the project. */
async function copyTemplate(template: Template, root: string, written: ReadonlySet<string>): Promise<void> {
  const packed = assetPath(`dist/templates/${template}`);
  const from = existsSync(packed) ? packed : assetPath(`examples/${template}`);
  const isCopied = (path: string): boolean => {
    const place = relative(from, path);
    return basename(path) !== 'node_modules' && (!written.has(place) || KEPT_OF_TEMPLATE.has(place));
  };
  await cp(from, root, { recursive: true, filter: isCopied });
}

interface PackageJson {
  readonly name?: string;
  readonly version: string;
  readonly workspaces?: unknown;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const packageAt = (folder: string): PackageJson | undefined => {
  const file = join(folder, 'package.json');
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as PackageJson) : undefined;
};

const ownPackage = (): PackageJson => packageAt(projectRoot) as PackageJson;

/**
 * What a project has to depend on to get this package: its version; or the tarball or folder that it was installed from, as by
 * `npm exec --ignore-scripts --package=headwater.tgz -- headwater init`; or its own folder, when it runs from a clone.
 */
function dependencyOnThis(root: string): string {
  const installedIn = resolve(projectRoot, '../..');
  const isInstalled = basename(resolve(projectRoot, '..')) === 'node_modules';
  if (!isInstalled) return `file:${relative(root, resolve(projectRoot))}`;
  const spec = packageAt(installedIn)?.dependencies?.headwater;
  if (spec?.startsWith('file:') !== true) return `^${ownPackage().version}`;
  const path = resolve(installedIn, spec.slice('file:'.length));
  return `file:${relative(root, path)}`;
}
