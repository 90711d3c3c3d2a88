import { readFileSync } from 'node:fs';
import { withMermaid } from 'vitepress-plugin-mermaid';

const { nav, sidebar } = JSON.parse(readFileSync(new URL('../pages/navigation.json', import.meta.url), 'utf8'));

export default withMermaid({
  title: 'headwater',
  description: 'The real-time machine-learning platform for TypeScript teams',
  lang: 'en',
  base: process.env.DOCS_BASE ?? '/',
  srcDir: 'pages',
  outDir: 'dist',
  ignoreDeadLinks: 'localhostLinks',
  // Pages hold <ENVIRONMENT> and {name}, which are neither elements nor attributes.
  markdown: { html: false, attrs: { disable: true } },
  themeConfig: { nav, sidebar, outline: [2, 3], search: { provider: 'local' } },
});
