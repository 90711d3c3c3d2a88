import { readFileSync } from 'node:fs';
import { assetPath } from '#kernel/project_root';

/** Returns what docs/errors.md says of each code, in Markdown, by code. */
export function errorPages(markdown = readFileSync(assetPath('docs/errors.md'), 'utf8')): ReadonlyMap<string, string> {
  const pages = new Map<string, string>();
  for (const part of markdown.split(/^##(?=#? )/m)) {
    const [, code, text] = /^# (\w+)\n([\s\S]*)$/.exec(part) ?? [];
    if (code !== undefined) pages.set(code, (text as string).trim());
  }
  return pages;
}
