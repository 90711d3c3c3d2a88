import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { globSync } from 'tinyglobby';
import { assetPath, projectRoot } from '#kernel/project_root';

// Pages, messages and comments use the field's own words: a reader whose English is a second language understands each sentence at once.

/** Words and phrases that are not used, and what says it plainly. */
const INSTEAD: readonly (readonly [RegExp, string])[] = [
  [/\b(?:whoever|nobody|somebody|anybody)\b/i, 'the caller, no client, a user'],
  [
    /\b(?:is|are|was|were|be|been|being|gets?) told\b|\btells? of\b|\bsays? so\b|\bsaid so\b/i,
    'returns, logs, reports',
  ],
  [/\btexts\b|\btruth values?\b|\bwhole numbers?\b/i, 'strings, booleans, integers'],
  [/\bdoors?\b/i, 'listener, endpoint, way in'],
  [/\bdealt\b/i, 'assigned'],
  [/\breckon(?:s|ed|ing)?\b/i, 'estimates, computes'],
  [/\blet(?:s|ting)? go\b/i, 'evicted, released'],
  [/\bordeals?\b|\bsuffer(?:s|ed|ing)?\b/i, 'fault, inject'],
  [/\bask(?:s|ed|ing)? for\b|\bwanted\b|\bwants\b/i, 'requests, requires, expected'],
  [/\b(?:go|goes|went|going|gone) on\b/i, 'resumes, continues'],
  [/\b(?:is|are|was|were) not there\b|\bnot there yet\b/i, 'missing, not supported yet'],
];

const forms = (text: string): readonly string[] =>
  INSTEAD.flatMap(([pattern, plain]) => {
    const found = pattern.exec(text)?.[0];
    return found === undefined ? [] : [`"${found}" (better: ${plain})`];
  });

/** Returns each form in a text with its place. */
function formsIn(path: string, lines: readonly (readonly [line: number, text: string])[]): readonly string[] {
  return lines.flatMap(([line, text]) =>
    forms(text).map((form) => `${path}:${line}: ${form}: ${text.trim().slice(0, 120)}`),
  );
}

/** Comments, strings and templates of TypeScript; `${…}` in a template is code. */
const TOKEN = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\[\s\S]|[^`\\])*`/g;

/** Returns strings that hold a sentence or part of one, and the events of logs (`canary.advanced`) as words: other names and URNs have no spaces. */
function messagesOf(source: string): readonly (readonly [line: number, text: string])[] {
  return [...source.matchAll(TOKEN)]
    .filter(([token]) => !token.startsWith('/') && / |^'[a-z_]+(?:\.[a-z_]+)+'$/.test(token))
    .map(({ 0: token, index }) => [
      source.slice(0, index).split('\n').length,
      token.replace(/\$\{[^{}]*\}/g, '…').replace(/[\s_]+/g, ' '),
    ]);
}

/** Returns the comments of a source. */
function commentsOf(source: string): readonly (readonly [line: number, text: string])[] {
  return [...source.matchAll(TOKEN)]
    .filter(([token]) => token.startsWith('/'))
    .map(({ 0: token, index }) => [
      source.slice(0, index).split('\n').length,
      token.replace(/\s*\n\s*\*?/g, ' ').replace(/`[^`]*`/g, '…'),
    ]);
}

test.each([
  ['whoever asks is told', 2],
  ['the search goes on where it was', 1],
  ['texts and truth values', 1],
  ['models that were let go of', 1],
  ['what it was asked for; what it wanted', 1],
  ['it is not there yet', 1],
  ['Going on elsewhere, nobody reckons', 3],
  ['the caller gets an error that names the field; send an integer, and the run resumes', 0],
])('%j has %d of the forms that are kept out', (text, count) => {
  expect(forms(text)).toHaveLength(count);
});

test('messages and comments are read out of code: names are not', () => {
  const code = [
    '// nobody',
    "const wanted = 'a-b';",
    'throw new Error(`the value $'.concat('{wanted} was'),
    ' asked for`); /* told */ const b = "is told", c = \'canary.goes_on\';',
  ].join('\n');
  expect(messagesOf(code)).toEqual([
    [3, '`the value … was asked for`'],
    [4, '"is told"'],
    [4, "'canary.goes on'"],
  ]);
  expect(commentsOf(code)).toEqual([
    [1, '// nobody'],
    [4, '/* told */'],
  ]);
});

test('pages use plain words', () => {
  const pages = globSync(
    [
      '*.md',
      '{docs,k8s,infra}/**/*.md',
      '{kernel,configs,monitoring,storage,connectors,registry,feature_store,pipelines,serving,workflows,client,cli,public}/**/*.md',
    ],
    {
      cwd: projectRoot,
      ignore: ['CHANGELOG.md', 'docs/adr/**'],
    },
  );
  expect(pages.length).toBeGreaterThan(60);
  const found = pages.flatMap((page) =>
    formsIn(
      page,
      readFileSync(assetPath(page), 'utf8')
        .split('\n')
        .map((text, index) => [index + 1, text.replace(/`[^`]*`/g, '…')] as const),
    ),
  );
  expect(found).toEqual([]);
});

const SOURCES = globSync(
  [
    '{kernel,configs,monitoring,storage,connectors,registry,feature_store,pipelines,serving,workflows,client,cli,public,examples,scripts,bench}/**/*.{ts,tsx}',
  ],
  // Lexicons hold the words of customers.
  { cwd: projectRoot, ignore: ['pipelines/proto/**', '**/node_modules/**', 'examples/feedback/insights/lexicons/**'] },
);

test.each([
  ['messages', messagesOf],
  ['comments', commentsOf],
] as const)('%s of the code use plain words', (_, partsOf) => {
  expect(SOURCES.length).toBeGreaterThan(500);
  expect(SOURCES.flatMap((path) => formsIn(path, partsOf(readFileSync(assetPath(path), 'utf8'))))).toEqual([]);
});
