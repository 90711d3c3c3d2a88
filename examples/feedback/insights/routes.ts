import { needs, PlatformError, type ServingPlugin } from 'headwater/serving';
import { Analyser } from './analyser.ts';
import { LONGEST_TEXT, requestSchema } from './contract.ts';
import { FeedbackStore, STATUSES, type Status } from './detection/adverse_events.ts';
import type { Language } from './languages.ts';
import { createMetrics } from './metrics.ts';
import { readModels } from './model.ts';
import type { InsightProvider } from './providers/provider.ts';
import { type FeedbackSettings, providerOf, readSettings } from './settings.ts';

export class UnknownAdverseEventError extends PlatformError {
  readonly code = 'FEEDBACK_UNKNOWN_ADVERSE_EVENT';
  readonly httpStatus = 404;

  constructor(id: string) {
    super(`there is no adverse event "${id}"`, { fault: 'caller', retryable: false });
  }
}

export interface InsightsOptions {
  /** Variables of the process: {@link settingsSchema}. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Instead of the one that the settings name. */
  readonly provider?: InsightProvider;
}

interface InsightsBody {
  readonly text: string;
  readonly lang?: Language;
  readonly customer_id?: string;
}

interface ReviewBody {
  readonly status: Status;
  readonly actor: string;
  readonly note?: string;
}

const IDENTIFIER = { type: 'string', pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' } as const;
const WAITING_EVERY_MS = 15_000;

/** Routes of feedback: POST /insights; adverse events with their review; erasure by customer. */
export const insightsPlugin = ({ environment, provider }: InsightsOptions): ServingPlugin => ({
  name: 'insights',
  async register(app, { log, metrics }) {
    const settings: FeedbackSettings = readSettings(environment);
    readModels();
    const store = storeOf(settings);
    const used = provider ?? providerOf(settings);
    const measured = createMetrics(metrics);
    const tuned = { deadlineMs: settings.FEEDBACK_DEADLINE_MS, maxConcurrency: settings.FEEDBACK_MAX_CONCURRENCY };
    const analyser = new Analyser({ provider: used }, tuned);
    await store.start();

    const look = async (): Promise<void> => {
      await store.drainSpool();
      measured.spooled.set(store.spooled);
      measured.circuitOpen.set(analyser.isCircuitOpen ? 1 : 0);
      try {
        const { count, oldestSeconds } = await store.waiting();
        measured.waiting.set(count);
        measured.oldest.set(oldestSeconds);
        if (settings.FEEDBACK_KEEP_TEXT) await store.removeOldComments();
      } catch (error) {
        log.warn({ error }, 'adverse_events.unreadable');
      }
    };
    const timer = setInterval(() => void look(), WAITING_EVERY_MS);
    timer.unref();
    await look();
    app.addHook('onClose', async () => {
      clearInterval(timer);
      analyser.close();
      await store.stop();
    });

    app.post<{ Body: InsightsBody }>(
      '/insights',
      { config: { access: needs('insights:analyse') }, schema: { body: requestSchema }, bodyLimit: 8 * LONGEST_TEXT },
      async (request) => {
        const { text, lang, customer_id: customerId } = request.body;
        const analysed = await analyser.analyse({
          ...{ text, lang },
          onAdverseEvent: async ({ detection, language, maskedText }) => {
            measured.adverseEvents.inc({ language });
            const { id, isSpooled } = await store.record({
              ...{ request_id: request.id, customer_id: customerId ?? null, language, score: detection.score },
              ...{ concerns: detection.concerns.map((each) => ({ ...each })), masked_text: maskedText },
            });
            measured.spooled.set(store.spooled);
            log.warn({ requestId: request.id, adverseEventId: id, language, isSpooled }, 'adverse_event.recorded');
          },
        });
        const { insights, tokens, cost, maskedCounts } = analysed;
        const { language, degraded, degraded_reason: reason, stages, latency_ms: latencyMs } = insights;
        measured.comments.inc({ language, provider: insights.provider, outcome: reason ?? 'ok' });
        measured.latency.observe({ provider: insights.provider }, latencyMs / 1_000);
        measured.tokens.inc({ provider: used.name, direction: 'input' }, tokens.input);
        measured.tokens.inc({ provider: used.name, direction: 'output' }, tokens.output);
        measured.cost.inc({ provider: used.name }, cost);
        const fields = { requestId: request.id, language, provider: insights.provider, degraded, reason, latencyMs };
        const isAdverse = insights.adverse_event_detected;
        log.info({ ...fields, isAdverse, stages, maskedCounts, characters: text.length }, 'insights.answered');
        if (settings.FEEDBACK_KEEP_TEXT)
          await store.keepText(text, customerId).catch((error: unknown) => log.warn({ error }, 'text.not_kept'));
        return insights;
      },
    );

    app.get<{ Querystring: { status?: Status; limit?: number } }>(
      '/insights/adverse-events',
      {
        config: { access: needs('insights:adverse_events') },
        schema: {
          querystring: {
            ...{ type: 'object', additionalProperties: false },
            properties: {
              status: { type: 'string', enum: [...STATUSES] },
              limit: { type: 'integer', minimum: 1, maximum: 1_000, default: 100 },
            },
          },
        },
      },
      async ({ query }) => ({
        adverse_events: await store.list({ status: query.status, limit: query.limit ?? 100 }),
      }),
    );

    const params = { type: 'object', required: ['id'], properties: { id: IDENTIFIER } } as const;
    app.get<{ Params: { id: string } }>(
      '/insights/adverse-events/:id/audit',
      { config: { access: needs('insights:adverse_events') }, schema: { params } },
      async (request) => {
        const audit = await store.audit(request.params.id);
        if (audit.length === 0) throw new UnknownAdverseEventError(request.params.id);
        return { audit };
      },
    );

    app.post<{ Params: { id: string }; Body: ReviewBody }>(
      '/insights/adverse-events/:id/review',
      {
        config: { access: needs('insights:adverse_events') },
        schema: {
          params,
          body: {
            ...{ type: 'object', required: ['status', 'actor'], additionalProperties: false },
            properties: {
              status: { type: 'string', enum: [...STATUSES] },
              actor: { type: 'string', minLength: 1, maxLength: 200 },
              note: { type: 'string', maxLength: 2_000 },
            },
          },
        },
      },
      async ({ params: { id }, body }) => {
        if (!(await store.review(id, body))) throw new UnknownAdverseEventError(id);
        await look();
        return { id, status: body.status };
      },
    );

    app.delete<{ Params: { customer: string } }>(
      '/insights/customers/:customer',
      { config: { access: needs('insights:erase') } },
      async (request) => {
        const { comments, adverseEvents } = await store.erase(request.params.customer, request.caller || 'unknown');
        log.info({ comments, adverseEvents }, 'customer.erased');
        return { comments, adverse_events: adverseEvents };
      },
    );
  },
});

export const storeOf = (settings: FeedbackSettings): FeedbackStore =>
  new FeedbackStore({
    place: settings.FEEDBACK_DATABASE,
    spool: spoolOf(settings.FEEDBACK_DATABASE),
    textDays: settings.FEEDBACK_TEXT_DAYS,
  });

const spoolOf = (place: string): string =>
  /^(postgres(ql)?:|:memory:)/.test(place)
    ? '.headwater/feedback-spool/adverse_events.jsonl'
    : `${place}-spool/adverse_events.jsonl`;
