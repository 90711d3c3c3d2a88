import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Hit } from '../answers.ts';
import { ask } from './api.ts';

const PAUSE_MS = 120;

/** Finds everything that has a page, by typing: arrows choose, Enter opens. */
export function Search({ onClose }: { readonly onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [text, setText] = useState('');
  const [hits, setHits] = useState<readonly Hit[]>([]);
  const [chosen, setChosen] = useState(0);
  // At once: what is typed next is for its field.
  useLayoutEffect(() => dialog.current?.showModal(), []);
  useEffect(() => {
    if (text.trim() === '') {
      setHits([]);
      return;
    }
    let isCurrent = true;
    const timer = setTimeout(() => {
      ask<{ readonly hits: readonly Hit[] }>(`/console/api/search?${new URLSearchParams({ text })}`).then(
        ({ hits: found }) => {
          if (!isCurrent) return;
          setHits(found);
          setChosen(0);
        },
        () => {},
      );
    }, PAUSE_MS);
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [text]);
  const open = (hit: Hit | undefined): void => {
    if (hit === undefined) return;
    location.hash = `#/${hit.link}`;
    dialog.current?.close();
  };
  const onKey = (event: KeyboardEvent): void => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step !== 0) {
      event.preventDefault();
      const next = Math.max(0, Math.min(hits.length - 1, chosen + step));
      setChosen(next);
      document.getElementById(`hit-${next}`)?.scrollIntoView({ block: 'nearest' });
    } else if (event.key === 'Enter') {
      event.preventDefault();
      open(hits[chosen]);
    }
  };
  return (
    <dialog ref={dialog} class="search" onClose={onClose} aria-label="Search">
      <input
        type="search"
        role="combobox"
        aria-label="Search for anything that has a page"
        aria-expanded={hits.length > 0}
        aria-controls="hits"
        aria-activedescendant={hits.length > 0 ? `hit-${chosen}` : undefined}
        placeholder="A model, feature, entity id, run, topic …"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={onKey}
      />
      <div id="hits" role="listbox" aria-label="Found">
        {hits.map((hit, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field above has the keys
          <div
            key={`${hit.kind} ${hit.link}`}
            id={`hit-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === chosen}
            onClick={() => open(hit)}
          >
            <span class="kind">{hit.kind}</span> <b>{hit.name}</b> <span class="quiet">{hit.detail}</span>
          </div>
        ))}
      </div>
    </dialog>
  );
}
