import type { ReportPage } from 'headwater/workflows';
import type { Comment } from './mix.ts';
import type { LanguageReport, Share } from './report.ts';

/** A comment, and when it came. */
export interface DatedComment extends Comment {
  /** RFC 3339 */
  readonly at: string;
  readonly isAdverse: boolean;
}

const DAY_MS = 86_400_000;
const percent = ({ value, low, high }: Share): string =>
  [value, low, high].map((share) => (100 * share).toFixed(0)).join(' | ');

/** Returns the report of a night: detection by language, and languages, topics and adverse events by day. @param until - RFC 3339 */
export function nightlyReport(
  judged: readonly LanguageReport[],
  comments: readonly DatedComment[],
  until: string,
): ReportPage {
  const dayOf = ({ at }: DatedComment): number => Math.ceil((Date.parse(at) - Date.parse(until)) / DAY_MS);
  const byDay = new Map<number, DatedComment[]>();
  for (const comment of comments) {
    const day = byDay.get(dayOf(comment)) ?? [];
    day.push(comment);
    byDay.set(dayOf(comment), day);
  }
  const days = [...byDay].sort(([a], [b]) => a - b);
  const shares = (name: string, has: (comment: DatedComment) => boolean) => ({
    name,
    points: days.map(([day, of]) => [day, of.filter(has).length / of.length] as const),
  });
  const chart = (title: string, series: readonly ReturnType<typeof shares>[]) => ({
    ...{ title, x: 'days before the end', y: 'share of comments', kind: 'line' as const },
    series,
  });
  const valuesOf = (of: keyof Comment): readonly string[] => [...new Set(comments.map((each) => each[of]))].sort();
  const mix = (of: keyof Comment) => valuesOf(of).map((value) => shares(value, (each) => each[of] === value));
  return {
    title: 'Customer feedback',
    text: `${comments.length} comments of 31 days until ${until.slice(0, 10)}; detection on held-out sentences, with 95 % intervals.`,
    before: [
      {
        title: 'Detection',
        columns: [
          'language',
          'sentences',
          'recall %, from, to',
          'precision %, from, to',
          'F1 of sentiment',
          'F1 of topics',
        ],
        rows: judged.map(({ language, sentences, recall, precision, sentimentF1, topicF1 }) => [
          ...[language, sentences, percent(recall), percent(precision), sentimentF1, topicF1],
        ]),
      },
    ],
    charts:
      comments.length === 0
        ? []
        : [
            chart('Languages', mix('language')),
            chart('Topics', mix('topic')),
            chart('Adverse events', [shares('adverse events', ({ isAdverse }) => isAdverse)]),
          ],
    after: [],
  };
}
