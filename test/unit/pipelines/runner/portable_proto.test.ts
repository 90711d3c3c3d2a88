import { expect, test } from '@jest/globals';
import nexmark from '#examples/nexmark/pipeline';
import { buildGraph, fingerprintOf, portableProto } from '#pipelines/model/graph';
import { combinePerKey } from '#pipelines/model/grouping';
import { create, keyBy } from '#pipelines/model/transforms';
import * as runnerApi from '#pipelines/proto/beam_runner_api';
import { dockerEnvironment } from '#pipelines/runner/portable/environment';
import { sum } from '#pipelines/transforms/standard/combiners';

// What Dataflow and other runners are sent: a job that cannot be run here is at least one that they can read.

const IMAGE = 'registry.example/headwater:1.2.3';

test('a streaming job with state and a splittable source: environment, requirements, capabilities, coders', () => {
  const pipeline = buildGraph(nexmark({ query: '4', events: '100' }));
  const proto = portableProto(pipeline, dockerEnvironment(IMAGE));
  expect([...proto.requirements].sort()).toEqual([
    'beam:requirement:pardo:splittable_dofn:v1',
    'beam:requirement:pardo:stateful:v1',
  ]);
  const components = proto.components as NonNullable<typeof proto.components>;
  const [[id, environment] = []] = Object.entries(components.environments);
  expect(Object.keys(components.environments)).toHaveLength(1);
  expect(environment?.urn).toBe('beam:env:docker:v1');
  expect(runnerApi.DockerPayload.fromBinary(environment?.payload as Uint8Array).containerImage).toBe(IMAGE);
  expect(environment?.capabilities).toEqual(
    expect.arrayContaining([
      'beam:coder:kv:v1',
      'beam:protocol:state_caching:v1',
      'beam:protocol:progress_reporting:v1',
    ]),
  );
  for (const { uniqueName, environmentId, inputs, outputs } of Object.values(components.transforms)) {
    expect([id, '']).toContain(environmentId);
    for (const collection of [...Object.values(inputs), ...Object.values(outputs)]) {
      const { coderId, windowingStrategyId } = components.pcollections[collection] ?? {};
      expect([uniqueName, components.coders[coderId ?? '']?.spec?.urn]).toEqual([
        uniqueName,
        expect.stringMatching(/^(beam|headwater):coder:/),
      ]);
      expect(components.windowingStrategies[windowingStrategyId ?? '']?.windowFn?.urn).toMatch(/^beam:window_fn:/);
    }
  }
  for (const { componentCoderIds } of Object.values(components.coders)) {
    for (const component of componentCoderIds) expect(components.coders).toHaveProperty([component]);
  }
});

test('ids are names, which stay when other transforms are added before them: runners keep state under them', () => {
  const idsOf = (more: boolean): ReadonlySet<string> => {
    const graph = buildGraph((root) => {
      if (more) root.apply(create(['other'], 'Other')).apply(keyBy(() => 'o', 'Other key'));
      root
        .apply(create([1], 'Numbers'))
        .apply(keyBy(() => 'k', 'Key'))
        .apply(combinePerKey(sum(), { name: 'Sum' }));
    });
    const { components, rootTransformIds } = portableProto(graph, dockerEnvironment(IMAGE));
    const { transforms = {}, pcollections = {} } = components ?? {};
    expect(rootTransformIds.every((id) => id in transforms)).toBe(true);
    for (const [id, { uniqueName, subtransforms, inputs, outputs }] of Object.entries(transforms)) {
      expect(uniqueName).toBe(id);
      for (const below of subtransforms) expect(transforms).toHaveProperty([below]);
      for (const pc of [...Object.values(inputs), ...Object.values(outputs)]) expect(pcollections).toHaveProperty([pc]);
    }
    for (const [id, { uniqueName }] of Object.entries(pcollections)) expect(uniqueName).toBe(id);
    return new Set([...Object.keys(transforms), ...Object.keys(pcollections)]);
  };
  const before = idsOf(false);
  expect([...before].filter((id) => !idsOf(true).has(id))).toEqual([]);
});

test('functions carry the name of their transform and the fingerprint of the graph; graphs that differ have others', () => {
  const graph = buildGraph((root) => void root.apply(create([1])).apply(keyBy(() => 'k')));
  const proto = portableProto(graph, dockerEnvironment(IMAGE));
  const names = Object.values(proto.components?.transforms ?? {}).flatMap(({ spec, uniqueName }) => {
    if (spec?.urn !== 'beam:transform:pardo:v1') return [];
    const { doFn } = runnerApi.ParDoPayload.fromBinary(spec.payload);
    return [[new TextDecoder().decode(doFn?.payload), `${uniqueName}\n${fingerprintOf(graph)}`]];
  });
  expect(names.length).toBeGreaterThan(0);
  for (const [actual, expected] of names) expect(actual).toBe(expected);
  const again = buildGraph((root) => void root.apply(create([1])).apply(keyBy(() => 'k')));
  expect(fingerprintOf(again)).toBe(fingerprintOf(graph));
  const other = buildGraph((root) => void root.apply(create([1])).apply(keyBy(() => 'k', 'Other')));
  expect(fingerprintOf(other)).not.toBe(fingerprintOf(graph));
});
