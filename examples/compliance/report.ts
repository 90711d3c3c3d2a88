import type { Alert } from './alerts.ts';
import { RULES } from './features/transfers.ts';

/** What a report is about. */
export interface ReportedPeriod {
  readonly from: string;
  readonly until: string;
  readonly transfers: number;
  readonly customers: number;
}

const eventList = ({ events }: Alert): string => events.map(({ event_id, time }) => `${event_id} (${time})`).join(', ');

/** Returns the report on a period as Markdown: rules, alerts with the events that prove them, and the hash of the kept evidence. */
export function markdownReport(alerts: readonly Alert[], period: ReportedPeriod): string {
  const rules = RULES.map(
    ({ id, description, feature, from }) =>
      `| ${id} | ${description} | ${feature} ≥ ${from} | ${alerts.filter(({ rule }) => rule === id).length} |`,
  );
  const each = alerts.map(
    (alert) => `### ${alert.rule}: ${alert.customer}

| | |
|---|---|
| alert | ${alert.id} |
| raised by transfer | ${alert.transfer} |
| value | ${alert.value}; computed again from the events: ${alert.recomputed} |
| definition | transfer@1, ${alert.fingerprint} |
| as of | ${alert.at} |
| events | ${eventList(alert)} |
| evidence | evidence/${alert.id}.json, SHA-256 ${alert.evidence} |
`,
  );
  return `# Compliance, ${period.from} to ${period.until}

${period.transfers} transfers of ${period.customers} customers; ${alerts.length} alerts.

| rule | what | condition | alerts |
|---|---|---|---|
${rules.join('\n')}

## Alerts

${each.join('\n')}`;
}

const ESCAPED: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escaped = (text: string | number): string =>
  String(text).replaceAll(/[&<>"]/g, (each) => ESCAPED[each] as string);
const row = (cells: readonly (string | number)[]): string =>
  `<tr>${cells.map((cell) => `<td>${escaped(cell)}</td>`).join('')}</tr>`;
const table = (head: readonly string[], rows: readonly string[]): string =>
  `<table><thead><tr>${head.map((cell) => `<th scope="col">${escaped(cell)}</th>`).join('')}</tr></thead><tbody>${rows.join('\n')}</tbody></table>`;

/** Returns the same report as a page of HTML that needs no other file. */
export function htmlReport(alerts: readonly Alert[], period: ReportedPeriod): string {
  const rules = RULES.map(({ id, description, feature, from }) =>
    row([id, description, `${feature} ≥ ${from}`, alerts.filter(({ rule }) => rule === id).length]),
  );
  const each = alerts.map((alert) =>
    row([
      alert.id,
      alert.rule,
      alert.customer,
      alert.transfer,
      alert.value,
      alert.at,
      eventList(alert),
      alert.evidence,
    ]),
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Compliance</title>
<style>body{font:14px system-ui;margin:2rem}table{border-collapse:collapse}td,th{border:1px solid #999;padding:.3rem;text-align:left;vertical-align:top}</style></head>
<body><h1>Compliance, ${escaped(period.from)} to ${escaped(period.until)}</h1>
<p>${period.transfers} transfers of ${period.customers} customers; ${alerts.length} alerts.</p>
${table(['rule', 'what', 'condition', 'alerts'], rules)}
<h2>Alerts</h2>
${table(['alert', 'rule', 'customer', 'raised by', 'value', 'as of', 'events', 'SHA-256 of the evidence'], each)}
</body></html>
`;
}
