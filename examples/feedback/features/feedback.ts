import {
  count,
  distinct,
  entity,
  expression,
  featureView,
  fromEvent,
  inRange,
  mean,
  min,
  source,
} from 'headwater/features';
import { z } from 'zod';
import { LONGEST_TEXT } from '../insights/contract.ts';
import { type EventInsights, eventInsights } from '../insights/event_insights.ts';

export const customer = entity('customer', ['customer_id']);

/** Feedback as customers write it. Its text becomes what was found in it while an event is read: features, predictions and stores never hold it. */
export const feedback = source('feedback', {
  schema: z.strictObject({
    feedback_id: z.string().min(1).max(128),
    customer_id: z.string().min(1).max(200),
    text: z.string().trim().min(1).max(LONGEST_TEXT).transform(eventInsights),
    at: z.string(),
  }),
  type: 'feedback',
  id: 'feedback_id',
  timestamp: 'at',
  key: 'customer_id',
  example: {
    ...{ event_type: 'feedback', feedback_id: 'f1', customer_id: 'c1', at: '2026-01-05T12:00:00Z' },
    text: 'The app is great, but the charger got so hot that it burned my hand.',
  },
});

const found = (event: Readonly<Record<string, unknown>>): EventInsights => event.text as EventInsights;

/** What customers feel, and what worries them. */
export const feedbackView = featureView({
  ...{ name: 'customer_feedback', version: 1, entity: customer, source: feedback, ttl: '90d', owner: 'care' },
  description: 'Sentiment and safety concerns of a customer, as of the newest text',
  contract: { freshWithin: '2d', mostMissing: { sentiment: 0, language: 0, topic: 0 }, mostViolations: 0.25 },
  // One adverse event is a matter of its own; a quarter of a day's comments is an incident, or a detector that has gone wrong.
  rules: { reports_no_harm: inRange('adverse', { max: 0 }, 'warn') },
  features: {
    sentiment: fromEvent('string', 'Sentiment of the newest text', (event) => found(event).sentiment, {
      uses: { found },
    }),
    sentiment_score: fromEvent('double', 'Score of the newest text, -1 to 1', (event) => found(event).score, {
      uses: { found },
    }),
    language: fromEvent('string', 'Language of the newest text', (event) => found(event).language, { uses: { found } }),
    topic: fromEvent('string', 'Main topic of the newest text', (event) => found(event).topic, { uses: { found } }),
    adverse: fromEvent(
      'double',
      '1 if the newest text reports an adverse event',
      (event) => Number(found(event).isAdverse),
      {
        uses: { found },
      },
    ),
    concern: fromEvent('string', 'First safety concern of the newest text', (event) => found(event).concern, {
      uses: { found },
    }),
    commented_ms: fromEvent('long', 'Time of the newest text, ms since 1970', (_, at) => at),
    ...count({ as: 'comments', what: 'Comments' }).over('24h', '30d'),
    ...mean('sentiment_score').over('7d', '30d'),
    ...min('sentiment_score').over('30d'),
    ...mean('adverse', { as: 'adverse_share' }).over('30d'),
    ...distinct('topic', { as: 'topics' }).over('30d'),
    adverse_events_30d: expression(
      ['adverse_share_30d', 'comments_30d'],
      'double',
      'Comments of 30 days that report an adverse event',
      (row) => Math.round(Number(row.adverse_share_30d ?? 0) * Number(row.comments_30d ?? 0)),
    ),
  },
});
