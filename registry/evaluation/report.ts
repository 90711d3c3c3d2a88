import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import type { Evaluation } from './evaluate_model.ts';
import type { Chart, Table } from './evaluation.ts';

export interface ReportSubject {
  readonly model: string;
  readonly task: string;
  readonly params: Readonly<Record<string, string>>;
  /** What it was judged on, in words. */
  readonly judgedOn: string;
}

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem;color:#1b1f24}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{padding:.2rem .8rem;border-bottom:1px solid #d8dee4;text-align:left}
td.number{text-align:right;font-variant-numeric:tabular-nums}.charts{display:flex;flex-wrap:wrap;gap:1.5rem}figure{margin:0}figcaption{font-weight:600}.wide{overflow-x:auto}`;

/** A page that stands alone: numbers, charts as SVG, slices, parameters. */
export async function evaluationReport(evaluation: Evaluation, subject: ReportSubject): Promise<string> {
  const { metrics, charts, tables, slices, rows, refusedRows } = evaluation;
  const refused = refusedRows === 0 ? '' : `; ${refusedRows} more are not taken by the model`;
  const columns = [...new Set(slices.flatMap((slice) => Object.keys(slice.metrics)))];
  const bySlice: Table = {
    title: 'Slices',
    columns: ['column', 'value', 'rows', ...columns],
    rows: slices.map((slice) => [
      ...[slice.column, slice.value, slice.rows],
      ...columns.map((name) => slice.metrics[name] ?? ''),
    ]),
  };
  return reportPage({
    title: subject.model,
    text: `${subject.task.replaceAll('_', ' ')}, judged on ${rows} rows ${subject.judgedOn}${refused}.`,
    charts,
    before: [{ title: 'Metrics', columns: ['metric', 'value'], rows: Object.entries(metrics) }],
    after: [
      ...tables,
      ...(slices.length === 0 ? [] : [bySlice]),
      { title: 'Parameters', columns: ['parameter', 'value'], rows: Object.entries(subject.params) },
    ],
  });
}

/** A page of a report: a title, and its parts. */
export interface ReportPage {
  readonly title: string;
  readonly text: string;
  /** Tables above the charts, and below. */
  readonly before: readonly Table[];
  readonly charts: readonly Chart[];
  readonly after: readonly Table[];
}

/** A page of HTML that stands alone, with charts as SVG. */
export async function reportPage({ title, text, before, charts, after }: ReportPage): Promise<string> {
  const drawn = await Promise.all(charts.map(draw));
  const figures = charts.map(
    (chart, index) => `<figure><figcaption>${escaped(chart.title)}</figcaption>${drawn[index]}</figure>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title><style>${STYLE}</style></head>
<body><h1>${escaped(title)}</h1>
<p>${escaped(text)}</p>
${before.map(table).join('\n')}
<div class="charts">${figures.join('\n')}</div>
${after.map(table).join('\n')}
</body></html>
`;
}

function table({ title, columns, rows }: Table): string {
  const head = columns.map((name) => `<th>${escaped(name)}</th>`).join('');
  const body = rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`).join('\n');
  return `<h2>${escaped(title)}</h2><div class="wide"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

const cell = (value: string | number): string =>
  typeof value === 'number' ? `<td class="number">${shortNumber(value)}</td>` : `<td>${escaped(value)}</td>`;

const shortNumber = (value: number): string => String(Number.isInteger(value) ? value : Number(value.toPrecision(5)));

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escaped = (text: string): string => text.replace(/[&<>"]/g, (character) => ENTITIES[character] as string);

/** A report as Markdown, and the pictures that it shows. */
export interface MarkdownReport {
  readonly text: string;
  /** SVG by the name of its file, which the text names. */
  readonly pictures: ReadonlyMap<string, string>;
}

/** Returns a page as Markdown, with each chart as a picture beside it. */
export async function reportMarkdown({ title, text, before, charts, after }: ReportPage): Promise<MarkdownReport> {
  const pictures = new Map<string, string>();
  for (const [index, chart] of charts.entries()) pictures.set(`chart_${index + 1}.svg`, await draw(chart));
  const shown = [...pictures.keys()].map((file, index) => {
    const { title: name = '' } = charts[index] ?? {};
    return `## ${name}\n\n![${name.replace(/[[\]]/g, '')}](${file})`;
  });
  const parts = [`# ${title}`, text, ...before.map(markdownTable), ...shown, ...after.map(markdownTable)];
  return { text: `${parts.join('\n\n')}\n`, pictures };
}

function markdownTable({ title, columns, rows }: Table): string {
  const line = (cells: readonly (string | number)[]): string => `| ${cells.map(markdownCell).join(' | ')} |`;
  const rule = `|${columns.map(() => ' --- ').join('|')}|`;
  return [`## ${title}`, '', line(columns), rule, ...rows.map(line)].join('\n');
}

const markdownCell = (value: string | number): string =>
  (typeof value === 'number' ? shortNumber(value) : value).replace(/[\\|]/g, '\\$&').replace(/\s+/g, ' ');

const WIDTH = 420;

/** @returns SVG */
async function draw({ x, y, kind, series, diagonal = false, band = [] }: Chart): Promise<string> {
  const values = series.flatMap(({ name, points }) => points.map(([at, value]) => ({ x: at, y: value, name })));
  const encoding = {
    x: { field: 'x', type: 'quantitative', title: x, scale: { zero: kind !== 'line' } },
    y: { field: 'y', type: 'quantitative', title: y, stack: null, scale: { zero: kind === 'bars' || diagonal } },
    ...(series.length > 1 ? { color: { field: 'name', type: 'nominal', title: null } } : {}),
    // The order of the points is that of the line.
    ...(kind === 'line' ? { order: { value: null } } : {}),
  };
  const marks = {
    line: { type: 'line' },
    points: { type: 'point', filled: true },
    bars: {
      type: 'bar',
      opacity: 0.6,
      width: Math.max(2, Math.floor(WIDTH / (series[0]?.points.length ?? 1)) - 2),
    },
  };
  const ideal = {
    data: {
      values: [
        { x: 0, y: 0 },
        { x: 1, y: 1 },
      ],
    },
    mark: { type: 'line', strokeDash: [4, 4], color: '#999' },
    encoding: { x: { field: 'x', type: 'quantitative' }, y: { field: 'y', type: 'quantitative' } },
  };
  const area = {
    data: { values: band.map(([at, low, high]) => ({ x: at, low, high })) },
    mark: { type: 'area', opacity: 0.2, color: '#999' },
    encoding: { x: encoding.x, y: { field: 'low', type: 'quantitative', title: y }, y2: { field: 'high' } },
  };
  const spec = {
    ...{ width: WIDTH, height: 260, background: 'transparent' },
    layer: [
      ...(band.length > 0 ? [area] : []),
      { data: { values }, mark: marks[kind], encoding },
      ...(diagonal ? [ideal] : []),
    ],
  } as unknown as TopLevelSpec;
  const view = new View(parse(compile(spec).spec), { renderer: 'none' });
  const svg = await view.toSVG();
  view.finalize();
  return svg;
}
