import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Asked } from './api.ts';
import { linkTo, placeNow, useQuery } from './router.ts';

// What pages are put together from.

interface Column<Row> {
  readonly title: string;
  readonly of: (row: Row) => ComponentChildren;
  readonly isNumber?: boolean;
}

interface TableProps<Row> {
  readonly caption: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  /** What stands in place of rows where there are none. */
  readonly empty?: ComponentChildren;
}

/** Rows under columns; on a narrow screen each row is a card with its columns below each other. */
export function Table<Row>({ caption, columns, rows, keyOf, empty }: TableProps<Row>) {
  if (rows.length === 0 && empty !== undefined) return <Empty>{empty}</Empty>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached without a mouse
    <section class={columns.length < 3 ? 'wide narrow' : 'wide'} tabIndex={0} aria-label={caption}>
      {/* biome-ignore-start lint/a11y/noRedundantRoles: styles of narrow screens take the roles of tables away */}
      <table role="table">
        <caption>{caption}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map(({ title, isNumber }) => (
              <th key={title} role="columnheader" scope="col" class={isNumber ? 'number' : ''}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rows.map((row) => (
            <tr key={keyOf(row)} role="row">
              {columns.map(({ title, of, isNumber }) => (
                <td key={title} role="cell" class={isNumber ? 'number' : ''} data-title={title}>
                  {of(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {/* biome-ignore-end lint/a11y/noRedundantRoles: as above */}
    </section>
  );
}

/** Where there is nothing: what would be here, and how it comes to be. */
export function Empty({ children }: { readonly children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

/** The data, or why there is none. */
export function Loaded<T>({
  asked: { data, error },
  children,
}: {
  readonly asked: Asked<T>;
  readonly children: (data: T) => ComponentChildren;
}) {
  return (
    <>
      {error === undefined ? null : (
        <p class="bad" role="alert">
          {error.message}
        </p>
      )}
      {data === undefined ? error === undefined ? <p class="quiet">asking…</p> : null : children(data)}
    </>
  );
}

const MARKS = { good: '●', warn: '▲', bad: '■', quiet: '○' } as const;

/** A state by shape, colour and word. */
export function Mark({ kind, children }: { readonly kind: keyof typeof MARKS; readonly children: ComponentChildren }) {
  return (
    <span class={`mark ${kind}`}>
      <span aria-hidden="true">{MARKS[kind]}</span> {children}
    </span>
  );
}

/** Facts about one thing: names with what they are. Those without a value are left out. */
export function Facts({ of }: { readonly of: readonly (readonly [name: string, value: ComponentChildren])[] }) {
  const known = of.filter(([, value]) => value !== undefined && value !== null && value !== '');
  return (
    <dl class="facts">
      {known.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Links, one after the other. */
export function Links({
  to,
  none = 'none',
}: {
  readonly to: readonly (readonly [text: string, link: string])[];
  readonly none?: string;
}) {
  if (to.length === 0) return <span class="quiet">{none}</span>;
  return (
    <ul class="inline">
      {to.map(([text, link]) => (
        <li key={text}>
          <a href={link}>{text}</a>
        </li>
      ))}
    </ul>
  );
}

const PAUSE_MS = 200;

/** A field that filters what a page shows, and is part of its address. */
export function Filter({ label, name = 'text' }: { readonly label: string; readonly name?: string }) {
  const [value, set] = useQuery(name);
  const timer = useRef<ReturnType<typeof setTimeout>>();
  const change = (text: string): void => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => set(text), PAUSE_MS);
  };
  return (
    <label>
      {label}
      <input type="search" value={value} onInput={(event) => change(event.currentTarget.value)} />
    </label>
  );
}

/** One of some values, as part of the address. */
export function Choice({
  label,
  name,
  usual,
  of,
}: {
  readonly label: string;
  readonly name: string;
  readonly usual: string;
  readonly of: readonly (readonly [value: string, text: string])[];
}) {
  const [value, set] = useQuery(name, usual);
  return (
    <label>
      {label}
      <select value={value} onInput={(event) => set(event.currentTarget.value)}>
        {of.map(([each, text]) => (
          <option key={each} value={each}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Fields beside each other that filter a page. */
export function Filters({ children }: { readonly children: ComponentChildren }) {
  return (
    <form class="line" onSubmit={(event) => event.preventDefault()}>
      {children}
    </form>
  );
}

export const RANGES = [
  ['1', 'last hour'],
  ['6', 'last 6 hours'],
  ['24', 'last day'],
  ['72', 'last 3 days'],
] as const;

/** The pages of a list that the server pages. */
export function Pager({
  total,
  offset,
  limit,
}: {
  readonly total: number;
  readonly offset: number;
  readonly limit: number;
}) {
  if (total <= limit) return null;
  const { page, parts, query } = placeNow();
  const at = (from: number): string =>
    linkTo([page, ...parts], { ...Object.fromEntries(query), offset: from === 0 ? '' : from });
  return (
    <nav class="pager" aria-label="Pages of the list">
      {offset > 0 ? <a href={at(Math.max(0, offset - limit))}>Before</a> : <span class="quiet">Before</span>}
      <span>
        {number(offset + 1)} to {number(Math.min(total, offset + limit))} of {number(total)}
      </span>
      {offset + limit < total ? <a href={at(offset + limit)}>Next</a> : <span class="quiet">Next</span>}
    </nav>
  );
}

/** JSON, set in lines. */
export function Json({ label, value }: { readonly label: string; readonly value: unknown }) {
  if (value === undefined || value === null) return null;
  return (
    <>
      <h3>{label}</h3>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached without a mouse */}
      <section class="log" tabIndex={0} aria-label={label}>
        <pre>{typeof value === 'string' ? value : JSON.stringify(value, null, 2)}</pre>
      </section>
    </>
  );
}

interface ConfirmProps {
  readonly title: string;
  readonly action: string;
  readonly children?: ComponentChildren;
  /** Undefined: nothing has to be given as a reason. */
  readonly wantsReason?: boolean;
  readonly reasonLabel?: string;
  /** What it does cannot be undone. */
  readonly isDangerous?: boolean;
  readonly onConfirm: (reason: string) => Promise<string>;
  readonly onClose: () => void;
}

/** Asks before something is changed, and tells what came of it. */
export function Confirm({
  title,
  action,
  children,
  wantsReason = true,
  reasonLabel = 'Reason (it is kept)',
  isDangerous = false,
  onConfirm,
  onClose,
}: ConfirmProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [reason, setReason] = useState('');
  const [said, setSaid] = useState<{ readonly text: string; readonly isBad: boolean }>();
  useEffect(() => dialog.current?.showModal(), []);
  const [isUnderWay, setUnderWay] = useState(false);
  const confirm = async (event: Event): Promise<void> => {
    event.preventDefault();
    setUnderWay(true);
    try {
      setSaid({ text: await onConfirm(reason), isBad: false });
    } catch (error) {
      setSaid({ text: (error as Error).message, isBad: true });
    } finally {
      setUnderWay(false);
    }
  };
  const isDone = said !== undefined && !said.isBad;
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="confirm-title">
      <form onSubmit={confirm}>
        <h2 id="confirm-title">{title}</h2>
        {children}
        {wantsReason && !isDone ? (
          <label>
            {reasonLabel}
            <input required value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
          </label>
        ) : null}
        <p role="status" class={said?.isBad ? 'bad' : 'good'}>
          {said?.text ?? ''}
        </p>
        <p>
          {isDone ? null : (
            <button type="submit" class={isDangerous ? 'danger' : 'primary'} disabled={isUnderWay}>
              {isUnderWay ? 'One moment …' : action}
            </button>
          )}{' '}
          <button type="button" onClick={() => dialog.current?.close()}>
            {isDone ? 'Close' : 'Cancel'}
          </button>
        </p>
      </form>
    </dialog>
  );
}

const FIGURES = 4;
export const number = (value: number | null | undefined): string =>
  value === null || value === undefined || Number.isNaN(value)
    ? ''
    : Number.isInteger(value)
      ? value.toLocaleString('en')
      : String(Number(value.toPrecision(FIGURES)));
export const percent = (share: number | null | undefined): string =>
  share === null || share === undefined ? '' : `${Number((share * 100).toPrecision(3))} %`;

const STEPS = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min'],
  [1, 's'],
] as const;
/** A span of time in its largest unit. */
export function span(seconds: number | null | undefined): string {
  if (seconds === undefined || seconds === null) return '';
  if (Math.abs(seconds) < 1) return `${Number((seconds * 1_000).toPrecision(3))} ms`;
  const [size, unit] = STEPS.find(([step]) => Math.abs(seconds) >= step) ?? [1, 's'];
  return `${Number((seconds / size).toPrecision(3))} ${unit}`;
}

/** A time as the reader's place has it; empty for none. */
export const timeOf = (time: string | null): string => (time === null ? '' : new Date(time).toLocaleString());

/** A JSON value in a cell. */
export const shown = (value: unknown): string =>
  typeof value === 'number' ? number(value) : typeof value === 'string' ? value : JSON.stringify(value ?? null);

/** Values over time as a line over its ground; gaps where there was nothing to measure. */
export function Spark({ values, label }: { readonly values: readonly (number | null)[]; readonly label: string }) {
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return null;
  const most = Math.max(...known);
  const least = Math.min(0, ...known);
  const at = (value: number, index: number): string =>
    `${((index / (values.length - 1)) * 100).toFixed(1)},${(27 - ((value - least) / (most - least || 1)) * 24).toFixed(1)}`;
  // Runs of known values: each is a line of its own.
  const runs: string[][] = [[]];
  for (const [index, value] of values.entries()) {
    if (value === null) runs.push([]);
    else runs.at(-1)?.push(at(value, index));
  }
  return (
    <svg class="spark" viewBox="0 0 100 28" preserveAspectRatio="none" role="img" aria-label={label}>
      {runs
        .filter((run) => run.length > 0)
        .map((run) => (
          <g key={run[0]}>
            <polygon points={`${run[0]?.split(',')[0]},28 ${run.join(' ')} ${run.at(-1)?.split(',')[0]},28`} />
            <polyline points={run.join(' ')} vector-effect="non-scaling-stroke" />
          </g>
        ))}
    </svg>
  );
}
