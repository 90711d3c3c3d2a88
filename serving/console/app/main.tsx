import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Alerts } from './pages/alerts.tsx';
import { Approvals } from './pages/approvals.tsx';
import { DeadLetters } from './pages/dead_letters.tsx';
import { Drift } from './pages/drift.tsx';
import { Experiments } from './pages/experiments.tsx';
import { Features } from './pages/features.tsx';
import { Models } from './pages/models.tsx';
import { Pipelines } from './pages/pipelines.tsx';
import { Runs } from './pages/runs.tsx';
import { Schedules } from './pages/schedules.tsx';
import { Why } from './pages/why.tsx';
import { Workflows } from './pages/workflows.tsx';

/** One for each page, in order. */
const KEYS = [...'1234567890-='];

const PAGES = [
  { path: 'pipelines', title: 'Pipelines', page: Pipelines },
  { path: 'features', title: 'Features', page: Features },
  { path: 'models', title: 'Models', page: Models },
  { path: 'experiments', title: 'Experiments', page: Experiments },
  { path: 'drift', title: 'Drift', page: Drift },
  { path: 'alerts', title: 'Alerts', page: Alerts },
  { path: 'dead-letters', title: 'Dead letters', page: DeadLetters },
  { path: 'workflows', title: 'Workflows', page: Workflows },
  { path: 'runs', title: 'Runs', page: Runs },
  { path: 'schedules', title: 'Schedules', page: Schedules },
  { path: 'approvals', title: 'Approvals', page: Approvals },
  { path: 'why', title: 'Why', page: Why },
] as const;

const pathNow = (): string => location.hash.replace(/^#\/?/, '').split('?')[0] ?? '';

function App() {
  const [path, setPath] = useState(pathNow());
  useEffect(() => {
    const follow = () => setPath(pathNow());
    const onKey = ({ key, target, ctrlKey, metaKey, altKey }: KeyboardEvent): void => {
      const isTyping = target instanceof HTMLElement && /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
      if (isTyping || ctrlKey || metaKey || altKey || document.querySelector('dialog[open]') !== null) return;
      const chosen = PAGES[KEYS.indexOf(key)];
      if (chosen !== undefined) location.hash = `#/${chosen.path}`;
      const filter = document.querySelector<HTMLInputElement>('input[type=search]');
      if (key === '/' && filter !== null) {
        filter.focus();
        // The key itself is no part of what is looked for.
        setTimeout(() => filter.select());
      }
    };
    addEventListener('hashchange', follow);
    addEventListener('keydown', onKey);
    return () => {
      removeEventListener('hashchange', follow);
      removeEventListener('keydown', onKey);
    };
  }, []);
  const current = PAGES.find((page) => page.path === path) ?? PAGES[0];
  useEffect(() => {
    document.title = `${current.title} · headwater`;
  }, [current]);
  const Page = current.page;
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to the page
      </button>
      <header>
        <strong>headwater</strong>
        <nav aria-label="Pages">
          <ul>
            {PAGES.map(({ path: to, title }, index) => (
              <li key={to}>
                <a
                  href={`#/${to}`}
                  aria-current={to === current.path ? 'page' : undefined}
                  aria-keyshortcuts={KEYS[index]}
                >
                  {title}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <span class="quiet">keys 1 to 9, 0, - and =, / to filter</span>
      </header>
      <main id="main" tabIndex={-1}>
        <h1>{current.title}</h1>
        <Page />
      </main>
    </>
  );
}

const root = document.getElementById('app');
if (root !== null) render(<App />, root);
