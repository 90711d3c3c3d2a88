import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, normalize, relative } from 'node:path/posix';
import { fileURLToPath } from 'node:url';
import { globSync } from 'tinyglobby';
import { assetPath, projectRoot } from '#kernel/project_root';
import { errorPages } from '#monitoring/http/docs/error_pages';
import { apiPages, writtenApiPages } from './api/api_pages.ts';

// npm run docs:site: the documentation as static pages in site/dist.

const PAGES = assetPath('site/pages');

/** Every page of docs/ but runbooks, decisions and error codes, by where it stands on the site. */
const NAVIGATION: Readonly<Record<string, readonly string[]>> = {
  Start: ['quick_start', 'tutorial', 'projects', 'clients', 'commands', 'compared'],
  'How to': pagesIn('how_to'),
  Concepts: [
    'concepts',
    'architecture',
    'features',
    'evolving',
    'pipelines',
    'connectors',
    'models',
    'retraining',
    'serving',
    'workflows',
    'monitoring',
  ],
  Operations: [
    'configuration',
    'deployment',
    'upgrading',
    'security',
    'reliability',
    'backup',
    'regions',
    'scale',
    'aws',
    'benchmarks',
    'compliance',
    'status',
  ],
  Examples: pagesIn('examples'),
  Reference: [
    'http',
    'extensions',
    'reference/commands',
    'reference/configuration',
    'reference/features',
    'reference/metrics',
    'errors',
  ],
};

/** Where the pages of the public surface are on the site. */
const API = 'reference/api';
const RUNBOOKS = pagesIn('runbooks');
const DECISIONS = pagesIn('adr');

function pagesIn(folder: string): readonly string[] {
  return globSync([`docs/${folder}/*.md`], { cwd: projectRoot })
    .map((path) => path.slice('docs/'.length, -'.md'.length))
    .sort();
}

const titleOf = (markdown: string, page: string): string => /^# (.*)$/m.exec(markdown)?.[1] ?? page;

/**
 * Returns a page as the site has it: links to what is no page of the site become plain text.
 *
 * @param page - its path below docs/, without the ending
 * @throws for a link to a page of docs/ that does not exist
 */
export function asSitePage(markdown: string, page: string): string {
  return markdown.replace(/\[([^\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)/g, (whole, text, target) => {
    const path = normalize(join('docs', dirname(page), target as string));
    if (!existsSync(join(projectRoot, path))) throw new Error(`docs/${page}.md: the link ${target} leads nowhere`);
    return path.startsWith('docs/') && path.endsWith('.md') ? whole : text;
  });
}

/** Of one code: what docs/errors.md says of it. */
const errorPage = (code: string, text: string): string => `# ${code}\n\n${text}\n\n[All error codes](../errors.md)\n`;

async function write(page: string, text: string): Promise<void> {
  const file = join(PAGES, `${page}.md`);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}

/** Writes site/pages. @throws naming pages of docs/ that have no place in the navigation */
export async function writePages(): Promise<void> {
  await rm(PAGES, { recursive: true, force: true });
  const all = globSync(['docs/**/*.md'], { cwd: projectRoot }).map((path) => path.slice('docs/'.length, -'.md'.length));
  const placed = new Set([...Object.values(NAVIGATION).flat(), ...RUNBOOKS, ...DECISIONS]);
  const lost = all.filter((page) => !placed.has(page));
  if (lost.length > 0)
    throw new Error(`pages without a place in NAVIGATION of scripts/writing/write_site.ts: ${lost.join(', ')}`);
  const titles = new Map<string, string>();
  for (const page of all) {
    const markdown = await readFile(assetPath(`docs/${page}.md`), 'utf8');
    titles.set(page, titleOf(markdown, page));
    await write(page, asSitePage(markdown, page));
  }
  const codes = errorPages();
  for (const [code, text] of codes) await write(`errors/${code}`, errorPage(code, text));
  const list = [...codes.keys()].map((code) => `- [${code}](errors/${code}.md)`);
  await write('errors', `# Error codes\n\n${list.join('\n')}\n`);
  const linkTo = (page: string) => ({ text: titles.get(page) ?? page, link: `/${page}` });
  const listOf = (folder: string, pages: readonly string[], title: string): Promise<void> =>
    write(
      `${folder}/index`,
      `# ${title}\n\n${pages.map((page) => `- [${titles.get(page)}](${relative(folder, page)}.md)`).join('\n')}\n`,
    );
  await listOf('runbooks', RUNBOOKS, 'Runbooks');
  await listOf('adr', DECISIONS, 'Decisions');
  const sidebar = [
    ...Object.entries(NAVIGATION).map(([text, pages], index) => ({
      text,
      collapsed: index > 2,
      items: pages.map(linkTo),
    })),
    {
      text: 'API',
      collapsed: true,
      items: (await apiPages()).map(({ title, name }) => ({ text: title, link: `/${API}/${name}` })),
    },
    { text: 'Runbooks', collapsed: true, items: RUNBOOKS.map(linkTo) },
    { text: 'Decisions', collapsed: true, items: DECISIONS.map(linkTo) },
  ];
  const nav = [
    { text: 'Quick start', link: '/quick_start' },
    { text: 'Tutorial', link: '/tutorial' },
    { text: 'Reference', link: '/reference/configuration' },
    { text: 'API', link: `/${API}/index` },
    { text: 'Errors', link: '/errors' },
    { text: 'Runbooks', link: '/runbooks/' },
  ];
  await writeFile(join(PAGES, 'navigation.json'), JSON.stringify({ nav, sidebar }, null, 2));
  await cp(assetPath('site/home.md'), join(PAGES, 'index.md'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writePages();
  const site = { cwd: assetPath('site'), stdio: 'inherit' } as const;
  if (!existsSync(assetPath('site/node_modules')))
    execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], site);
  for (const [name, text] of await writtenApiPages()) await write(`${API}/${name}`, text);
  execFileSync('npx', ['--no-install', 'vitepress', 'build'], site);
}
