import { existsSync, readFileSync } from 'node:fs';
import { assetPath } from '#kernel/project_root';

export interface Control {
  readonly control: string;
  readonly proof: string;
  readonly owner: string;
  readonly reviewed: string;
}

/** Documents that promise something. */
const CLAIMS = ['docs/security.md', 'docs/reliability.md'] as const;
const LONGEST_DAYS = 365;
const DAY_MS = 86_400_000;

/** A `|` within a cell has `\\` before it. */
const cellsOf = (line: string): readonly string[] =>
  line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim());

/** The table of docs/compliance.md. */
export function readControls(markdown: string): readonly Control[] {
  const rows = markdown.split('\n').filter((line) => line.startsWith('| '));
  return rows.slice(1).map((line) => {
    const [control = '', , proof = '', owner = '', reviewed = ''] = cellsOf(line);
    return { control, proof: proof.replaceAll('`', ''), owner, reviewed };
  });
}

/** A command of package.json, a test, or a workflow. */
const REFERENCE = /`?((?:test|\.github|k8s|monitoring)\/[\w./-]+|npm run [\w:]+)(?: -- [^`|]*)?`?/g;

/** What a text names as its proof. */
const referencesIn = (text: string): readonly string[] =>
  [...text.matchAll(REFERENCE)].map(([, found]) => found as string);

function doesExist(reference: string, scripts: ReadonlySet<string>): boolean {
  const command = /^npm run (\S+)$/.exec(reference)?.[1];
  return command === undefined ? existsSync(assetPath(reference)) : scripts.has(command);
}

/**
 * Checks the claims of a document: each row of a table that has a column `test` names one that exists, and so does every other test that is named.
 *
 * @returns what is wrong, with the row
 */
export function problemsOfClaims(name: string, markdown: string, scripts: ReadonlySet<string>): readonly string[] {
  const problems: string[] = [];
  let isProven = false;
  let lines = 0;
  for (const line of markdown.split('\n')) {
    if (!line.startsWith('|')) isProven = false;
    for (const reference of referencesIn(line)) {
      if (!doesExist(reference, scripts)) problems.push(`${name}: ${reference} does not exist`);
    }
    if (!line.startsWith('| ')) continue;
    const cells = cellsOf(line);
    if (cells.at(-1) === 'test') {
      isProven = true;
      continue;
    }
    if (!isProven) continue;
    lines += 1;
    if (referencesIn(cells.at(-1) ?? '').length === 0) problems.push(`${name}: "${cells[0]}" names no test`);
  }
  if (lines === 0) problems.push(`${name}: there is no table with tests`);
  return problems;
}

/** @returns what is wrong with a control */
export function problemsOf(
  { control, proof, owner, reviewed }: Control,
  nowMs: number,
  scripts: ReadonlySet<string>,
): readonly string[] {
  const problems: string[] = [];
  if (proof === '' || !doesExist(proof, scripts)) problems.push(`${control}: its proof ${proof} does not exist`);
  if (owner === '') problems.push(`${control}: it has no owner`);
  const days = (nowMs - Date.parse(reviewed)) / DAY_MS;
  if (!(days <= LONGEST_DAYS)) problems.push(`${control}: reviewed ${reviewed || 'never'}, longer ago than a year`);
  return problems;
}

/** Of all controls. */
export function checkCompliance(nowMs: number): { readonly controls: number; readonly problems: readonly string[] } {
  const controls = readControls(readFileSync(assetPath('docs/compliance.md'), 'utf8'));
  const { scripts } = JSON.parse(readFileSync(assetPath('package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const known = new Set(Object.keys(scripts));
  const problems = controls.flatMap((control) => problemsOf(control, nowMs, known));
  for (const name of CLAIMS) problems.push(...problemsOfClaims(name, readFileSync(assetPath(name), 'utf8'), known));
  return { controls: controls.length, problems };
}
