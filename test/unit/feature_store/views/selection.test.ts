import { expect, test } from '@jest/globals';
import { describeView } from '#feature_store/definitions/feature_view';
import { featuresConfigSchema, selectDefinitions } from '#feature_store/definitions/sets/selection';
import { DAY_MS } from '#kernel/time';
import { SERVICES, VIEWS } from '../../../support/definitions/all_definitions.ts';

const catalog = { views: VIEWS, services: SERVICES };
const select = (config: unknown) => selectDefinitions(catalog, featuresConfigSchema.parse(config));
const viewOf = (selected: ReturnType<typeof select>, name: string) => selected.views.find((view) => view.view === name);

test('everything is on unless it is switched off', () => {
  expect(select({})).toEqual({ views: VIEWS, services: SERVICES });
});

test('a feature that is switched off is gone, and so are rules about it; the rest stays', () => {
  const off = { 'fraud@1': { without: ['velocity', 'risk_score'], ttl: '60d' }, 'credit@1': { without: [] } };
  const selected = select({ views: off });
  const fraud = viewOf(selected, 'fraud');
  expect(fraud?.ttlMs).toBe(60 * DAY_MS);
  expect(fraud?.expressionOrder).toEqual(['amount_deviation']);
  const names = fraud === undefined ? [] : describeView(fraud).features.map(({ name }) => name);
  expect(names).toContain('amount');
  expect(names).not.toContain('velocity');
});

test('a view that is switched off takes its services with it only when they are switched off as well', () => {
  const views = { 'customer_value@1': { enabled: false } };
  expect(() => select({ views })).toThrow(
    /service customer_segmentation@1 needs recency_days, .* of customer_value@1: switch it off too/,
  );
  const selected = select({ views, services: { 'customer_segmentation@1': { enabled: false } } });
  expect(viewOf(selected, 'customer_value')).toBeUndefined();
  expect(selected.services).toHaveLength(SERVICES.length - 1);
});

test('what is not in the catalog, and what others are computed from, is refused, all at once', () => {
  const views = { 'frued@1': { enabled: false }, 'fraud@1': { without: ['amuont', 'amount_deviation'] } };
  expect(() => select({ views, services: { nothing: { enabled: true } } })).toThrow(
    /views\.frued@1: there is no such one[\s\S]*services\.nothing: there is no such one[\s\S]*no feature "amuont"[\s\S]*risk_score is computed from amount_deviation/,
  );
  expect(() => featuresConfigSchema.parse({ statisticsWindow: 'often' })).toThrow(/must be a duration such as 7d/);
});
