import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { type Asked, RefusedError, rememberKey } from './api.ts';

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
}

export function Table<Row>({ caption, columns, rows, keyOf }: TableProps<Row>) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached without a mouse
    <section class="wide" tabIndex={0} aria-label={caption}>
      <table>
        <caption>{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ title, isNumber }) => (
              <th key={title} scope="col" class={isNumber ? 'number' : ''}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map(({ title, of, isNumber }) => (
                <td key={title} class={isNumber ? 'number' : ''}>
                  {of(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** The data, or why there is none. */
export function Loaded<T>({
  asked,
  children,
}: {
  readonly asked: Asked<T>;
  readonly children: (data: T) => ComponentChildren;
}) {
  const { data, error, refresh } = asked;
  if (error instanceof RefusedError && error.status === 401) return <KeyForm onKey={refresh} />;
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

function KeyForm({ onKey }: { readonly onKey: () => void }) {
  const [key, setKey] = useState('');
  return (
    <form
      class="line"
      onSubmit={(event) => {
        event.preventDefault();
        rememberKey(key);
        onKey();
      }}
    >
      <label>
        API key
        <input type="password" autocomplete="off" value={key} onInput={(event) => setKey(event.currentTarget.value)} />
      </label>
      <button type="submit" class="primary">
        Use it in this tab
      </button>
    </form>
  );
}

interface ConfirmProps {
  readonly title: string;
  readonly action: string;
  readonly children?: ComponentChildren;
  /** Undefined: nothing has to be given as a reason. */
  readonly wantsReason?: boolean;
  readonly onConfirm: (reason: string) => Promise<string>;
  readonly onClose: () => void;
}

/** Asks before something is changed, and tells what came of it. */
export function Confirm({ title, action, children, wantsReason = true, onConfirm, onClose }: ConfirmProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [reason, setReason] = useState('');
  const [said, setSaid] = useState<{ readonly text: string; readonly isBad: boolean }>();
  useEffect(() => dialog.current?.showModal(), []);
  const confirm = async (event: Event): Promise<void> => {
    event.preventDefault();
    try {
      setSaid({ text: await onConfirm(reason), isBad: false });
    } catch (error) {
      setSaid({ text: (error as Error).message, isBad: true });
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
            Reason (it is kept)
            <input required value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
          </label>
        ) : null}
        <p role="status" class={said?.isBad ? 'bad' : 'good'}>
          {said?.text ?? ''}
        </p>
        <p>
          {isDone ? null : (
            <button type="submit" class="primary">
              {action}
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
export const percent = (share: number): string => `${Number((share * 100).toPrecision(3))} %`;

const STEPS = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min'],
  [1, 's'],
] as const;
/** A span of time in its largest unit. */
export function span(seconds: number | undefined): string {
  if (seconds === undefined) return '';
  const [size, unit] = STEPS.find(([step]) => Math.abs(seconds) >= step) ?? [1, 's'];
  return `${Number((seconds / size).toPrecision(3))} ${unit}`;
}

/** A time as the reader's place has it; empty for none. */
export const timeOf = (time: string | null): string => (time === null ? '' : new Date(time).toLocaleString());

/** Quantiles as a line from the smallest to the largest. */
export function Spark({ values, label }: { readonly values: readonly number[]; readonly label: string }) {
  if (values.length < 2) return null;
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const points = values.map((value, index) => {
    const x = (index / (values.length - 1)) * 100;
    return `${x.toFixed(1)},${(19 - ((value - least) / (most - least || 1)) * 18).toFixed(1)}`;
  });
  return (
    <svg class="spark" viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label={label}>
      <polyline points={points.join(' ')} vector-effect="non-scaling-stroke" />
    </svg>
  );
}
