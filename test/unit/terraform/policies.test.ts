import { expect, test } from '@jest/globals';
import { type PlannedResource, policiesOf, resourcesOf } from '#scripts/terraform/plan';
import { environmentPolicies, POLICIES } from '#scripts/terraform/policies';

const problemsOf = (...resources: PlannedResource[]): readonly string[] =>
  POLICIES.flatMap((policy) => policy.check(resources));
const role = (statement: object): PlannedResource => ({
  address: 'module.iam.aws_iam_role_policy.this["serving"]',
  type: 'aws_iam_role_policy',
  values: {
    policy: JSON.stringify({ Version: '2012-10-17', Statement: [{ Sid: 'S', Effect: 'Allow', ...statement }] }),
  },
});

test('resources of modules within modules are read, data sources are not', () => {
  const resource = { address: 'module.a.module.b.aws_vpc.this', type: 'aws_vpc', mode: 'managed', values: {} };
  const plan = {
    planned_values: {
      root_module: { child_modules: [{ child_modules: [{ resources: [resource, { ...resource, mode: 'data' }] }] }] },
    },
  };
  expect(resourcesOf(plan)).toEqual([resource]);
});

test.each([
  ['a wildcard in an action', { Action: ['s3:Get*'], Resource: 'arn:aws:s3:::b/*' }, 'statement S has a wildcard'],
  ['all resources', { Action: 's3:GetObject', Resource: '*' }, 'statement S has a wildcard'],
  ['all actions but some', { NotAction: 's3:GetObject', Resource: 'arn:aws:s3:::b' }, 'allows all actions but some'],
  ['everyone', { Action: 's3:GetObject', Resource: 'arn:aws:s3:::b', Principal: { AWS: '*' } }, 'allows everyone'],
])('a policy is refused with %s', (_, statement, problem) => {
  expect(problemsOf(role(statement)).join()).toContain(problem);
});

test('named actions on objects of a bucket pass, and so does a Deny of everything', () => {
  expect(problemsOf(role({ Action: 's3:GetObject', Resource: 'arn:aws:s3:::b/*' }))).toEqual([]);
  expect(problemsOf(role({ Effect: 'Deny', Action: '*', Resource: '*', Principal: '*' }))).toEqual([]);
});

test('a policy that is known after apply only is refused, not passed over', () => {
  const unknown = { ...role({}), values: {} };
  expect(policiesOf([unknown])[0]?.document).toBeUndefined();
  expect(problemsOf(unknown).join()).toContain('known after apply only');
});

test.each([
  ['IPv4', { cidr_ipv4: '0.0.0.0/0' }],
  ['IPv6', { cidr_ipv6: '::/0' }],
])('a rule that is open to the world by %s is refused outside of the load balancer', (_, cidr) => {
  const type = 'aws_vpc_security_group_ingress_rule';
  const values = { ...cidr, from_port: 443, to_port: 443 };
  expect(problemsOf({ address: `module.platform.module.redis.${type}.https`, type, values })).toHaveLength(1);
  expect(problemsOf({ address: `module.platform.module.network.${type}.https`, type, values })).toEqual([]);
});

test('a bucket without its settings is refused for each of them', () => {
  const bucket = { address: 'aws_s3_bucket.this', type: 'aws_s3_bucket', values: { bucket: 'b' } };
  expect(problemsOf(bucket)).toEqual(
    ['is not private', 'is not versioned', 'is not encrypted', 'answers without TLS'].map(
      (what) => `aws_s3_bucket.this ${what}`,
    ),
  );
});

test('production has no spot nodes and no schedule; the others need both, and all a budget', () => {
  const spot = { address: 'g["spot"]', type: 'aws_eks_node_group', values: { capacity_type: 'SPOT' } };
  const of = (environment: string): readonly string[] =>
    environmentPolicies(environment).flatMap((policy) => policy.check([spot]));
  expect(of('prod')).toContain('g["spot"] has no place in production');
  expect(of('dev')).toContain('0 of 1 databases and node groups stop at night');
  expect(of('dev')).toContain('no budget reports to the topic of costs below 100 % and at 100 %');
});
