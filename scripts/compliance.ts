import { existsSync, readFileSync } from 'node:fs';
import { assetPath } from '#kernel/project_root';

export interface Control {
  readonly control: string;
  readonly proof: string;
  readonly owner: string;
  readonly reviewed: string;
}

const LONGEST_DAYS = 365;
const DAY_MS = 86_400_000;

/** The table of docs/compliance.md. */
export function readControls(markdown: string): readonly Control[] {
  const rows = markdown.split('\n').filter((line) => line.startsWith('| '));
  return rows.slice(1).map((line) => {
    const [control = '', , proof = '', owner = '', reviewed = ''] = line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
    return { control, proof: proof.replaceAll('`', ''), owner, reviewed };
  });
}

/** @returns what is wrong with a control */
export function problemsOf(
  { control, proof, owner, reviewed }: Control,
  nowMs: number,
  scripts: ReadonlySet<string>,
): readonly string[] {
  const problems: string[] = [];
  const command = /^npm run (\S+)$/.exec(proof)?.[1];
  const isThere = command === undefined ? proof !== '' && existsSync(assetPath(proof)) : scripts.has(command);
  if (!isThere) problems.push(`${control}: its proof ${proof} is not there`);
  if (owner === '') problems.push(`${control}: nobody owns it`);
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
  return { controls: controls.length, problems: controls.flatMap((control) => problemsOf(control, nowMs, known)) };
}
