import type { PluginContext } from 'headwater/serving';
import { Counter, Gauge, Histogram } from 'prom-client';

/** The metrics of the plugin. Labels have no more values than there are languages, providers and outcomes. */
export function createMetrics(registry: PluginContext['metrics']) {
  const registers = [registry];
  return {
    comments: new Counter({
      ...{ name: 'feedback_comments_total', help: 'Comments analysed', registers },
      labelNames: ['language', 'provider', 'outcome'] as const,
    }),
    adverseEvents: new Counter({
      ...{ name: 'feedback_adverse_events_total', help: 'Adverse events detected', registers },
      labelNames: ['language'] as const,
    }),
    waiting: new Gauge({ name: 'feedback_adverse_events_waiting', help: 'Adverse events of status new', registers }),
    oldest: new Gauge({
      ...{ name: 'feedback_adverse_event_oldest_seconds', registers },
      help: 'Age of the oldest adverse event of status new, in seconds',
    }),
    spooled: new Gauge({
      ...{ name: 'feedback_adverse_events_spooled', registers },
      help: 'Adverse events in the file of this machine, which wait for the database',
    }),
    circuitOpen: new Gauge({
      ...{
        name: 'feedback_provider_circuit_open',
        help: 'Whether the provider is left alone after failures',
        registers,
      },
    }),
    latency: new Histogram({
      ...{ name: 'feedback_answer_seconds', help: 'From the request to the answer, by who answered', registers },
      ...{
        labelNames: ['provider'] as const,
        buckets: [0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 1.6, 2, 2.7, 5],
      },
    }),
    tokens: new Counter({
      ...{ name: 'feedback_provider_tokens_total', help: 'Tokens that the provider counted', registers },
      labelNames: ['provider', 'direction'] as const,
    }),
    cost: new Counter({
      ...{ name: 'feedback_provider_cost_usd_total', help: 'Cost of the provider by its prices, in USD', registers },
      labelNames: ['provider'] as const,
    }),
  };
}
