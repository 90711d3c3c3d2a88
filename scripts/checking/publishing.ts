import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { assetPath } from '#kernel/project_root';

const textOf = (path: string): string => readFileSync(assetPath(path), 'utf8');

interface Step {
  readonly run?: string;
  readonly uses?: string;
}
interface Workflow {
  readonly jobs: Readonly<
    Record<
      string,
      {
        readonly permissions?: Readonly<Record<string, string>>;
        readonly needs?: unknown;
        readonly steps?: readonly Step[];
      }
    >
  >;
}

/** Returns what keeps a release from being published: versions that differ, a missing policy, jobs without provenance. */
export function publishingProblems(read: (path: string) => string = textOf): readonly string[] {
  const problems: string[] = [];
  const { version, license, files } = JSON.parse(read('package.json')) as {
    readonly version: string;
    readonly license: string;
    readonly files: readonly string[];
  };
  const wheel = /^version = "(.*)"$/m.exec(read('python/pyproject.toml'))?.[1];
  if (wheel !== version) problems.push(`python/pyproject.toml has version ${wheel}, package.json ${version}`);
  if (license !== 'Apache-2.0') problems.push(`package.json has the license ${license}`);
  if (!files.includes('docs/errors.md')) problems.push('package.json: files lacks docs/errors.md');
  const changelog = read('CHANGELOG.md');
  if (!/^## Unreleased$/m.test(changelog)) problems.push('CHANGELOG.md has no section "Unreleased"');
  const [major, minor] = version.split('.');
  if (!new RegExp(`^\\| ${major}\\.${minor} \\| yes \\|`, 'm').test(read('docs/upgrading.md')))
    problems.push(`docs/upgrading.md does not support ${major}.${minor}`);
  if (!/Report a vulnerability/.test(read('SECURITY.md'))) problems.push('SECURITY.md says no way to report');
  const { jobs } = parse(read('.github/workflows/release.yml')) as Workflow;
  const commands = (job: string): string =>
    (jobs[job]?.steps ?? []).map(({ run = '', uses = '' }) => `${run}\n${uses}`).join('\n');
  for (const job of ['npm', 'pypi']) {
    if (jobs[job]?.permissions?.['id-token'] !== 'write')
      problems.push(`release.yml: job ${job} has no permission id-token: write, so its package has no provenance`);
    if (![jobs[job]?.needs].flat().includes('production'))
      problems.push(`release.yml: job ${job} does not wait for the approval of production`);
  }
  if (!commands('npm').includes('npm publish --provenance'))
    problems.push('release.yml: npm publishes without --provenance');
  if (!commands('pypi').includes('pypa/gh-action-pypi-publish'))
    problems.push('release.yml: the wheel is not published by trusted publishing');
  return problems;
}
