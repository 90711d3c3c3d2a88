/** Every page of the console, for checks that hold for all and for screenshots: those of one thing with what the fraud example has. */
export const consolePages = ({
  account,
  prediction,
  letter,
}: {
  readonly account: string;
  readonly prediction: string;
  readonly letter: string;
}): Readonly<Record<string, string>> => ({
  overview: 'overview',
  alerts: 'alerts',
  approvals: 'approvals',
  history: 'history?hours=1',
  audit: 'changes',
  entities: 'entities',
  entity: `entities?entity=account&id=${account}&feature=fraud@1/sum_amount_24h`,
  views: 'views',
  view: 'views/fraud@1',
  feature: 'views/fraud@1/sum_amount_24h',
  features: 'features',
  services: 'services',
  sources: 'sources',
  lineage: 'lineage',
  pipelines: 'pipelines',
  topics: 'topics',
  topic: 'topics/raw-events',
  'dead-letters': 'dead-letters',
  'dead-letter': `dead-letters/${letter}`,
  models: 'models',
  model: 'models/fraud_detector',
  version: 'models/fraud_detector/1',
  compare: 'models/fraud_detector/compare?a=1&b=2',
  predictions: 'predictions',
  experiments: 'experiments',
  drift: 'drift',
  'why-value': `why?entity=${account}&feature=sum_amount_24h`,
  'why-prediction': `why?prediction=${prediction}`,
  workflows: 'workflows',
  runs: 'runs',
  schedules: 'schedules',
});
