import { expect, test } from '@jest/globals';
import { userActivityV1, userActivityV2 } from '#examples/activity/features/user_activity';
import { fraudView } from '#examples/fraud/features/fraud';
import type { StoredDefinition } from '#feature_store/definition_store/applied_definitions';
import { checkDefinitions } from '#feature_store/definition_store/check_definitions';
import { describeView } from '#feature_store/definitions/feature_view';
import { changesBetween, lineageOf } from '#feature_store/definitions/sets/lineage';

test('a feature’s lineage goes through other features down to fields and source', () => {
  expect(lineageOf(fraudView, 'risk_score')).toMatchObject({
    view: 'fraud@1',
    source: 'transactions',
    eventTypes: ['transaction'],
    features: expect.arrayContaining(['amount_deviation', 'mean_amount_7d', 'amount']),
    fields: expect.arrayContaining(['merchant_id']),
  });
  expect(lineageOf(fraudView, 'sum_amount_1h')).toMatchObject({ features: ['amount'], fields: ['amount'] });
  expect(lineageOf(fraudView, 'nothing')).toBeUndefined();
});

test('versions differ by what was added and what means something else', () => {
  const changes = changesBetween(describeView(userActivityV1), describeView(userActivityV2));
  expect(changes).toContainEqual({ feature: 'top_device_type_7d', change: 'added', isBreaking: false });
  expect(changes.filter(({ change }) => change !== 'added')).toEqual([
    expect.objectContaining({
      feature: 'engagement_score',
      change: 'changed',
      detail: expect.stringContaining('inputs'),
    }),
  ]);
});

test('a version that has been in use must not break: what was taken out or changed is refused by name', async () => {
  const kept = new Map<string, ReturnType<typeof describeView>>();
  const applied: StoredDefinition[] = [];
  const offline: Parameters<typeof checkDefinitions>[0] = {
    readDefinitions: async () => applied,
    recordDefinitions: async (definitions) =>
      void applied.splice(
        0,
        applied.length,
        ...definitions.map((each) => ({ ...each, applied: null, recordedAtMs: 0 })),
      ),
    readView: async ({ view, version }) => kept.get(`${view}@${version}`),
    writeView: async (description) => void kept.set(`${description.view}@${description.version}`, description),
  };
  await checkDefinitions(offline, [fraudView]);
  await checkDefinitions(offline, [fraudView]);
  const { velocity: _, ...without } = fraudView.features;
  const more = { ...fraudView, features: { ...fraudView.features, extra: fraudView.features.amount } } as never;
  await checkDefinitions(offline, [more]);
  const changed = { ...without, amount: { ...without.amount, type: 'long' } };
  await expect(checkDefinitions(offline, [{ ...fraudView, features: changed } as never])).rejects.toThrow(
    /view fraud@1: feature amount of fraud@1 has changed: type was "double", is "long"[\s\S]*feature velocity of fraud@1 was removed[\s\S]*make version 2/,
  );
  const moved = { ...fraudView, entity: { name: 'card', joinKeys: ['account_id'] } };
  await expect(checkDefinitions(offline, [moved as never])).rejects.toThrow(/entity was "account", is "card"/);
});
