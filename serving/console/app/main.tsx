import { type ComponentType, render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import './app.css';
import { askScopes } from './api.ts';
import { forgetKey, hasKey, isUnknown, scopes } from './caller.ts';
import { lazy } from './lazy.tsx';
import { refresh } from './live.ts';
import { Overview } from './pages/overview.tsx';
import { type Place, usePlace } from './router.ts';
import { Search } from './search.tsx';
import { SignIn } from './sign_in.tsx';

type PageComponent = ComponentType<Place>;

interface PageInfo {
  readonly path: string;
  readonly title: string;
  /** After `g`. */
  readonly key?: string;
  readonly page: PageComponent;
}

const page = (path: string, title: string, key: string | undefined, load: () => Promise<PageComponent>): PageInfo => ({
  ...{ path, title, page: lazy(load) },
  ...(key === undefined ? {} : { key }),
});

const GROUPS: readonly { readonly title: string; readonly pages: readonly PageInfo[] }[] = [
  {
    title: 'Today',
    pages: [
      { path: 'overview', title: 'Overview', key: 'o', page: Overview },
      page('alerts', 'Alerts', 'a', async () => (await import('./pages/watch/alerts.tsx')).Alerts),
      page('approvals', 'Approvals', 'y', async () => (await import('./pages/work/approvals.tsx')).Approvals),
      page('history', 'History', 'h', async () => (await import('./pages/watch/history.tsx')).History),
      page('changes', 'Audit', 'u', async () => (await import('./pages/watch/changes.tsx')).Changes),
    ],
  },
  {
    title: 'Data',
    pages: [
      page('entities', 'Entities', 'e', async () => (await import('./pages/data/entities.tsx')).Entities),
      page('views', 'Views', 'v', async () => (await import('./pages/data/views.tsx')).Views),
      page('features', 'Features', 'f', async () => (await import('./pages/data/features.tsx')).Features),
      page('services', 'Services', undefined, async () => (await import('./pages/data/services.tsx')).Services),
      page('sources', 'Sources', undefined, async () => (await import('./pages/data/sources.tsx')).Sources),
      page('lineage', 'Lineage', 'l', async () => (await import('./pages/data/lineage.tsx')).Lineage),
    ],
  },
  {
    title: 'Streams',
    pages: [
      page('pipelines', 'Pipelines', 'p', async () => (await import('./pages/data/pipelines.tsx')).Pipelines),
      page('topics', 'Topics', 't', async () => (await import('./pages/data/topics.tsx')).Topics),
      page(
        'dead-letters',
        'Dead letters',
        'd',
        async () => (await import('./pages/data/dead_letters.tsx')).DeadLetters,
      ),
    ],
  },
  {
    title: 'Models',
    pages: [
      page('models', 'Models', 'm', async () => (await import('./pages/models/models.tsx')).Models),
      page('predictions', 'Predictions', 'i', async () => (await import('./pages/models/predictions.tsx')).Predictions),
      page('experiments', 'Experiments', 'x', async () => (await import('./pages/models/experiments.tsx')).Experiments),
      page('drift', 'Drift', undefined, async () => (await import('./pages/models/drift.tsx')).Drift),
      page('why', 'Why', 'w', async () => (await import('./pages/data/why.tsx')).Why),
    ],
  },
  {
    title: 'Work',
    pages: [
      page('workflows', 'Workflows', undefined, async () => (await import('./pages/work/workflows.tsx')).Workflows),
      page('runs', 'Runs', 'r', async () => (await import('./pages/work/runs.tsx')).Runs),
      page('schedules', 'Schedules', 's', async () => (await import('./pages/work/schedules.tsx')).Schedules),
    ],
  },
];
const PAGES = GROUPS.flatMap(({ pages }) => pages);

type Theme = 'light' | 'dark';
const THEME = 'headwater-theme';

function applyTheme(theme: string | null): void {
  if (theme === null) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

/** Keys: `/` or Ctrl-K searches, `g` and a letter opens a page, `?` lists them. */
function useKeys(onSearch: () => void, onHelp: () => void): void {
  useEffect(() => {
    let isAfterG = false;
    const onKey = (event: KeyboardEvent): void => {
      const { key, target, ctrlKey, metaKey, altKey } = event;
      if (document.querySelector('dialog[open]') !== null) return;
      if ((ctrlKey || metaKey) && key.toLowerCase() === 'k') {
        event.preventDefault();
        onSearch();
        return;
      }
      const isTyping = target instanceof HTMLElement && /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
      if (isTyping || ctrlKey || metaKey || altKey) return;
      const chosen = isAfterG ? PAGES.find((each) => each.key === key) : undefined;
      isAfterG = key === 'g';
      if (chosen !== undefined) location.hash = `#/${chosen.path}`;
      else if (key === '/') {
        event.preventDefault();
        onSearch();
      } else if (key === '?') onHelp();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}

function App() {
  const place = usePlace();
  const [isSearching, setSearching] = useState(false);
  const [isHelping, setHelping] = useState(false);
  const [isOpen, setOpen] = useState(false);
  const unknown = isUnknown.use();
  useKeys(
    () => setSearching(true),
    () => setHelping(true),
  );
  useEffect(() => void askScopes(), []);
  const current = PAGES.find(({ path }) => path === place.page) ?? (PAGES[0] as PageInfo);
  const of = [current.title, ...place.parts].join(' ');
  useEffect(() => {
    document.title = `${of} · headwater`;
    setOpen(false);
    scrollTo(0, 0);
  }, [of]);
  const Page = current.page;
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to the page
      </button>
      <header>
        <button
          type="button"
          class="menu"
          aria-expanded={isOpen}
          aria-controls="pages"
          onClick={() => setOpen(!isOpen)}
        >
          Menu
        </button>
        <a class="brand" href="#/overview">
          headwater
        </a>
        <button type="button" class="find" onClick={() => setSearching(true)}>
          <span>Search</span> <kbd>/</kbd>
        </button>
        <ThemeButton />
        {hasKey() ? (
          <button
            type="button"
            class="plain"
            onClick={() => {
              forgetKey();
              scopes.set(undefined);
              refresh();
            }}
          >
            Sign out
          </button>
        ) : null}
      </header>
      <div class="body">
        <nav id="pages" class={isOpen ? 'open' : ''} aria-label="Pages">
          {GROUPS.map(({ title, pages }) => (
            <section key={title}>
              <h2>{title}</h2>
              <ul>
                {pages.map(({ path, title: name, key }) => (
                  <li key={path}>
                    <a
                      href={`#/${path}`}
                      aria-current={path === current.path ? 'page' : undefined}
                      aria-keyshortcuts={key === undefined ? undefined : `g ${key}`}
                    >
                      {name}
                    </a>
                  </li>
                ))}
              </ul>
            </section>
          ))}
        </nav>
        <main id="main" tabIndex={-1}>
          <h1>
            {place.parts.length === 0 ? (
              current.title
            ) : (
              <>
                <a href={`#/${current.path}`}>{current.title}</a> <span class="quiet">/</span> {place.parts.join(' / ')}
              </>
            )}
          </h1>
          {unknown ? <SignIn /> : <Page key={`${current.path}/${place.parts.join('/')}`} {...place} />}
        </main>
      </div>
      {isSearching ? <Search onClose={() => setSearching(false)} /> : null}
      {isHelping ? <Help onClose={() => setHelping(false)} /> : null}
    </>
  );
}

function ThemeButton() {
  const [theme, setTheme] = useState(localStorage.getItem(THEME) as Theme | null);
  const isDark = theme === null ? matchMedia('(prefers-color-scheme: dark)').matches : theme === 'dark';
  const change = (): void => {
    const next: Theme = isDark ? 'light' : 'dark';
    localStorage.setItem(THEME, next);
    applyTheme(next);
    setTheme(next);
  };
  return (
    <button type="button" class="plain" onClick={change}>
      {isDark ? 'Light' : 'Dark'}
    </button>
  );
}

function Help({ onClose }: { readonly onClose: () => void }) {
  return (
    <dialog
      ref={(element) => {
        if (element !== null && !element.open) element.showModal();
      }}
      onClose={onClose}
      aria-labelledby="keys"
    >
      <h2 id="keys">Keys</h2>
      <dl class="facts">
        <div>
          <dt>
            <kbd>/</kbd> or <kbd>Ctrl</kbd> <kbd>K</kbd>
          </dt>
          <dd>search</dd>
        </div>
        {PAGES.filter(({ key }) => key !== undefined).map(({ key, title }) => (
          <div key={key}>
            <dt>
              <kbd>g</kbd> <kbd>{key}</kbd>
            </dt>
            <dd>{title}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog">
        <button type="submit">Close</button>
      </form>
    </dialog>
  );
}

applyTheme(localStorage.getItem(THEME));
const root = document.getElementById('app');
if (root !== null) render(<App />, root);
