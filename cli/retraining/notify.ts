import { derivedId } from '#kernel/hashes/derived_id';
import { importOptional, type OptionalUse } from '#kernel/optional_package';
import { durationMs } from '#kernel/times/duration';
import { type NotifySettings, TOPIC_ARN } from '#workflows/config';
import { TaskError } from '#workflows/tasks/task';
import type { RetrainingReport } from './retraining_run.ts';

/** What publishes to a topic of SNS. */
export const SNS_USE: OptionalUse = { packages: ['@aws-sdk/client-sns'], use: 'workflows.notify.sns' };

type SnsSettings = NonNullable<NotifySettings['sns']>;
type AlertmanagerSettings = NonNullable<NotifySettings['alertmanager']>;

/** Longest time that a channel may take. */
const LONGEST_MS = 10_000;
/** Limit of SNS. */
const SUBJECT_CHARACTERS = 100;

/** Returns whether the settings have a channel for reports. */
export const isNotified = ({ webhooks, sns, alertmanager }: NotifySettings): boolean =>
  webhooks.length > 0 || sns !== undefined || alertmanager !== undefined;

/**
 * Sends the report of a run to each channel, whether or not another fails. A step that is tried again sends it to all of them, with the same keys: a
 * receiver that has taken it may leave out the second.
 *
 * @throws {@link TaskError} `Notify.Refused` that names each channel that did not take it
 * @throws `PackageMissingError` where `workflows.notify.sns` is set and its package is not installed
 */
export async function sendReport(
  { webhooks, sns, alertmanager }: NotifySettings,
  report: RetrainingReport,
  signal: AbortSignal,
): Promise<void> {
  const sdk = sns === undefined ? undefined : await importOptional(SNS_USE, () => import('@aws-sdk/client-sns'));
  const within = AbortSignal.any([signal, AbortSignal.timeout(LONGEST_MS)]);
  const channels: Readonly<Record<string, Promise<unknown>>> = {
    ...Object.fromEntries(
      webhooks.map((url, at) => [
        `webhook ${at + 1} of workflows.notify.webhooks`,
        postJson(url, eventOf(report), within, { 'idempotency-key': `${report.run}:${at}` }),
      ]),
    ),
    ...(sns === undefined || sdk === undefined ? {} : { 'workflows.notify.sns': publish(sdk, sns, report, within) }),
    ...(alertmanager === undefined
      ? {}
      : { 'workflows.notify.alertmanager': raiseAlert(alertmanager, report, within) }),
  };
  const sent = await Promise.allSettled(Object.values(channels));
  const failed = Object.keys(channels).flatMap((name, at) => {
    const outcome = sent[at];
    return outcome?.status === 'rejected' ? [`${name} ${problemOf(outcome.reason)}`] : [];
  });
  if (failed.length > 0) throw new TaskError('Notify.Refused', failed.join('; '));
}

const eventOf = (report: RetrainingReport) => ({ event: `retraining.${report.outcome}`, ...report });

/** The receiver's answer to a request that it refuses. */
class RefusedError extends Error {}

/** Returns why a channel did not take a report, without its address: that of a webhook is often a credential. */
function problemOf(error: unknown): string {
  if (error instanceof RefusedError) return error.message;
  if (error instanceof AggregateError) return error.errors.map(problemOf).join(', ');
  const { name, message, cause } = error as Error & { readonly cause?: Partial<NodeJS.ErrnoException> };
  if (name === 'TimeoutError') return `does not answer within ${LONGEST_MS / 1_000} s`;
  return cause?.code === undefined ? `fails: ${name}: ${cause?.message ?? message}` : `is not reached: ${cause.code}`;
}

/** @throws {@link RefusedError} for an answer that is not a success */
async function postJson(
  url: string,
  body: unknown,
  signal: AbortSignal,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const answer = await fetch(url, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json', ...headers } },
    ...{ body: JSON.stringify(body), signal },
  });
  await answer.body?.cancel();
  if (!answer.ok) throw new RefusedError(`answers ${answer.status}`);
}

/** Publishes the report as JSON. Its attributes are for filters of subscriptions; a FIFO topic delivers a report once, and those of a model in order. */
async function publish(
  { SNSClient, PublishCommand }: typeof import('@aws-sdk/client-sns'),
  { topicArn, endpoint }: SnsSettings,
  report: RetrainingReport,
  abortSignal: AbortSignal,
): Promise<void> {
  const [, region = '', topic = ''] = TOPIC_ARN.exec(topicArn) ?? [];
  const client = new SNSClient({ region, ...(endpoint === undefined ? {} : { endpoint }) });
  const event = eventOf(report);
  const key = derivedId([report.run, topicArn]);
  const attribute = (StringValue: string) => ({ DataType: 'String', StringValue });
  try {
    await client.send(
      new PublishCommand({
        TopicArn: topicArn,
        Subject: subjectOf(report),
        Message: JSON.stringify(event),
        MessageAttributes: {
          event: attribute(event.event),
          model: attribute(report.model),
          idempotency_key: attribute(key),
        },
        ...(topic.endsWith('.fifo') ? { MessageGroupId: derivedId([report.model]), MessageDeduplicationId: key } : {}),
      }),
      { abortSignal },
    );
  } finally {
    client.destroy();
  }
}

const summaryOf = ({ model, version, outcome }: RetrainingReport): string =>
  `${model}${version === null ? '' : ` ${version}`} is ${outcome.replace('_', ' ')}`;

/** Returns the summary as SNS takes it: printable ASCII, and not too long. */
const subjectOf = (report: RetrainingReport): string =>
  summaryOf(report)
    .replace(/[^\x20-\x7e]/g, '?')
    .slice(0, SUBJECT_CHARACTERS);

/**
 * Posts an alert to each Alertmanager of the cluster, whose routes decide who gets it; one that takes it is enough, as they share notifications. The labels
 * name the run: sent again, it is the same alert.
 */
async function raiseAlert(
  { urls, endsAfter }: AlertmanagerSettings,
  report: RetrainingReport,
  signal: AbortSignal,
): Promise<void> {
  const { model, run, outcome, reason } = report;
  const startsAt = Date.now();
  const alert = {
    labels: {
      ...{ alertname: 'ModelRetrained', kind: 'model', severity: outcome === 'rolled_back' ? 'warning' : 'info' },
      ...{ model, outcome, run },
    },
    annotations: { summary: summaryOf(report), description: reason },
    startsAt: new Date(startsAt).toISOString(),
    endsAt: new Date(startsAt + durationMs(endsAfter)).toISOString(),
  };
  await Promise.any(urls.map((url) => postJson(`${url.replace(/\/+$/, '')}/api/v2/alerts`, [alert], signal)));
}
