import { listOf, type PlannedResource, policiesOf } from './plan.ts';

// What every plan must hold. Each policy returns what is wrong, with the address of the resource.

export interface Policy {
  readonly name: string;
  check(resources: readonly PlannedResource[]): readonly string[];
}

const TAGS = ['project', 'environment', 'owner', 'cost-center', 'managed-by'] as const;
const LABELS = TAGS.filter((tag) => tag !== 'cost-center');

/** Statements that have a wildcard, by the end of the address and their Sid, and why there is no narrower one. */
export const WILDCARDS: readonly { readonly address: RegExp; readonly sid: string; readonly why: string }[] = [
  {
    address: /aws_kms_key\.this$/,
    sid: 'AccountManagesKey',
    why: 'a key whose policy does not name the account cannot be managed; IAM then decides',
  },
  { address: /aws_kms_key\.this$/, sid: 'LogGroupsOfThisAccount', why: 'in the policy of a key, * is that key' },
  { address: /aws_kms_key\.this$/, sid: 'AlarmsAndBudgetsPublish', why: 'in the policy of a key, * is that key' },
  {
    address: /iam\.aws_iam_role_policy\.this\["monitor"\]$/,
    sid: 'Metrics',
    why: 'PutMetricData knows no resources; the namespace bounds it',
  },
  {
    address: /deploy_access\.aws_iam_role_policy\.this\["apply"\]$/,
    sid: 'Services',
    why: 'it makes, changes and deletes these services; region and approval bound it',
  },
];

/** Rules that the world may use. */
const OPEN_TO_THE_WORLD = /(?:^|\.)network\.aws_vpc_security_group_ingress_rule\.https$/;

const WIDE_MANAGED = /(?:AdministratorAccess|PowerUserAccess|FullAccess)$/;

const ofType = (resources: readonly PlannedResource[], ...types: readonly string[]): readonly PlannedResource[] =>
  resources.filter(({ type }) => types.includes(type));

/** The first block of a name, or an empty one. */
const blockOf = (values: Readonly<Record<string, unknown>>, name: string): Readonly<Record<string, unknown>> =>
  (values[name] as readonly Readonly<Record<string, unknown>>[] | undefined)?.[0] ?? {};

const isWorld = (cidr: unknown): boolean => cidr === '0.0.0.0/0' || cidr === '::/0';

const tagged: Policy = {
  name: 'every resource that can have tags has those by which costs are counted',
  check: (resources) =>
    resources.flatMap(({ address, values }) => {
      const [tags, required] =
        'tags_all' in values
          ? [values.tags_all, TAGS]
          : 'effective_labels' in values
            ? [values.effective_labels, LABELS]
            : [];
      if (required === undefined) return [];
      const missing = required.filter((tag) => !((tags ?? {}) as Record<string, string>)[tag]);
      return missing.length === 0 ? [] : [`${address} lacks the tags ${missing.join(', ')}`];
    }),
};

const buckets: Policy = {
  name: 'every bucket is private, encrypted, versioned and answers over TLS alone',
  check: (resources) => {
    const partOf = (type: string, bucket: unknown) =>
      ofType(resources, type).find(({ values }) => values.bucket === bucket)?.values ?? {};
    const aws = ofType(resources, 'aws_s3_bucket').flatMap(({ address, values: { bucket } }) => {
      const access = partOf('aws_s3_bucket_public_access_block', bucket);
      const isPrivate = [
        'block_public_acls',
        'block_public_policy',
        'ignore_public_acls',
        'restrict_public_buckets',
      ].every((flag) => access[flag] === true);
      const versioning = blockOf(partOf('aws_s3_bucket_versioning', bucket), 'versioning_configuration').status;
      const rule = blockOf(partOf('aws_s3_bucket_server_side_encryption_configuration', bucket), 'rule');
      const algorithm = blockOf(rule, 'apply_server_side_encryption_by_default').sse_algorithm;
      const policy = partOf('aws_s3_bucket_policy', bucket).policy;
      const isTlsOnly =
        typeof policy === 'string' && /"Effect":"Deny"/.test(policy) && /"aws:SecureTransport":"false"/.test(policy);
      return [
        ...(isPrivate ? [] : [`${address} is not private`]),
        ...(versioning === 'Enabled' ? [] : [`${address} is not versioned`]),
        ...(algorithm === 'aws:kms' || algorithm === 'AES256' ? [] : [`${address} is not encrypted`]),
        ...(isTlsOnly ? [] : [`${address} answers without TLS`]),
      ];
    });
    const google = ofType(resources, 'google_storage_bucket').flatMap(({ address, values }) => [
      ...(values.public_access_prevention === 'enforced' && values.uniform_bucket_level_access === true
        ? []
        : [`${address} is not private`]),
      ...(blockOf(values, 'versioning').enabled === true ? [] : [`${address} is not versioned`]),
    ]);
    return [...aws, ...google];
  },
};

const leastPrivilege: Policy = {
  name: 'no policy allows a wildcard, but for those listed with a reason',
  check: (resources) =>
    policiesOf(resources).flatMap(({ resource: { address }, attribute, document }) => {
      if (document === undefined) return [`${address}: ${attribute} is known after apply only and cannot be checked`];
      return document.Statement.filter(({ Effect }) => Effect === 'Allow').flatMap((statement) => {
        const { Sid: sid = 'without a Sid', Principal: principal } = statement;
        const isPublic = principal === '*' || (principal as { AWS?: unknown } | undefined)?.AWS === '*';
        if (isPublic) return [`${address}: statement ${sid} allows everyone`];
        if (statement.NotAction !== undefined) return [`${address}: statement ${sid} allows all actions but some`];
        const isWide =
          listOf(statement.Action).some((action) => action.includes('*')) || listOf(statement.Resource).includes('*');
        const isListed = WILDCARDS.some((exception) => exception.address.test(address) && exception.sid === sid);
        return isWide && !isListed ? [`${address}: statement ${sid} has a wildcard: name actions and resources`] : [];
      });
    }),
};

const noWideRoles: Policy = {
  name: 'no role has a managed policy or a basic role that allows everything',
  check: (resources) => [
    ...ofType(resources, 'aws_iam_role_policy_attachment', 'aws_iam_group_policy_attachment')
      .filter(({ values }) => WIDE_MANAGED.test(String(values.policy_arn)))
      .map(({ address, values }) => `${address} attaches ${String(values.policy_arn)}`),
    ...resources
      .filter(
        ({ type, values }) =>
          /^google_.*_iam_(?:member|binding)$/.test(type) &&
          /^roles\/(?:owner|editor|viewer)$/.test(String(values.role)),
      )
      .map(({ address, values }) => `${address} grants ${String(values.role)}`),
    ...resources
      .filter(({ values }) => /^all(?:Authenticated)?Users$/.test(String(values.member)))
      .map(({ address, values }) => `${address} grants to ${String(values.member)}`),
  ],
};

const closedToTheWorld: Policy = {
  name: "no security group is open to the world but the load balancer's, on port 443",
  check: (resources) => [
    ...ofType(resources, 'aws_vpc_security_group_ingress_rule')
      .filter(({ values }) => isWorld(values.cidr_ipv4) || isWorld(values.cidr_ipv6))
      .filter(
        ({ address, values }) =>
          !(OPEN_TO_THE_WORLD.test(address) && values.from_port === 443 && values.to_port === 443),
      )
      .map(({ address }) => `${address} is open to the world`),
    ...ofType(resources, 'aws_security_group', 'aws_security_group_rule')
      .filter(({ values }) =>
        /"(?:0\.0\.0\.0\/0|::\/0)"/.test(JSON.stringify([values.ingress, values.cidr_blocks, values.ipv6_cidr_blocks])),
      )
      .map(({ address }) => `${address} is open to the world`),
    ...ofType(resources, 'aws_eks_cluster')
      .filter(({ values }) => {
        const network = blockOf(values, 'vpc_config');
        const cidrs = network.public_access_cidrs as readonly string[] | null | undefined;
        return network.endpoint_public_access === true && (cidrs ?? ['0.0.0.0/0']).some(isWorld);
      })
      .map(({ address }) => `${address}: the API of Kubernetes is open to the world`),
  ],
};

const stores: Policy = {
  name: 'stores are encrypted at rest and in transit, private, and not deleted by accident',
  check: (resources) => [
    ...ofType(resources, 'aws_db_instance').flatMap(({ address, values }) => [
      ...(values.storage_encrypted === true ? [] : [`${address} is not encrypted`]),
      ...(values.publicly_accessible === false ? [] : [`${address} is public`]),
      ...(values.deletion_protection === true ? [] : [`${address} can be deleted`]),
      ...(values.replicate_source_db == null && !(Number(values.backup_retention_period) >= 1)
        ? [`${address} has no backups`]
        : []),
    ]),
    ...ofType(resources, 'aws_elasticache_replication_group')
      .filter(
        ({ values }) =>
          values.transit_encryption_enabled !== true || String(values.at_rest_encryption_enabled) !== 'true',
      )
      .map(({ address }) => `${address} is not encrypted`),
    ...ofType(resources, 'aws_msk_cluster')
      .filter(({ values }) => {
        const transit = blockOf(blockOf(values, 'encryption_info'), 'encryption_in_transit');
        return transit.client_broker !== 'TLS' || blockOf(values, 'client_authentication').unauthenticated !== false;
      })
      .map(({ address }) => `${address} takes clients without TLS or a password`),
  ],
};

/** Holds for every plan. */
export const POLICIES: readonly Policy[] = [tagged, buckets, leastPrivilege, noWideRoles, closedToTheWorld, stores];

/** What an environment must have besides. */
export function environmentPolicies(environment: string): readonly Policy[] {
  const isProduction = environment === 'prod';
  return [
    {
      name: 'a budget reports to the topic of costs before and when it is spent',
      check: (resources) => {
        const budgets = ofType(resources, 'aws_budgets_budget');
        const topic = ofType(resources, 'aws_sns_topic').find(({ address }) => address.endsWith('["cost"]'))?.values
          .arn;
        const notifications = budgets.flatMap(
          ({ values }) =>
            values.notification as readonly {
              threshold: number;
              notification_type: string;
              subscriber_sns_topic_arns: unknown[];
            }[],
        );
        const reports = notifications.filter(
          (each) =>
            each.notification_type === 'ACTUAL' &&
            topic !== undefined &&
            each.subscriber_sns_topic_arns.includes(topic),
        );
        const isEarly = reports.some(({ threshold }) => threshold < 100);
        const isSpent = reports.some(({ threshold }) => threshold === 100);
        return isEarly && isSpent ? [] : ['no budget reports to the topic of costs below 100 % and at 100 %'];
      },
    },
    {
      name: isProduction
        ? 'production is never stopped and has no spot nodes'
        : 'nodes and databases stop at night, and spot nodes take work',
      check: (resources) => {
        const spot = ofType(resources, 'aws_eks_node_group').filter(({ values }) => values.capacity_type === 'SPOT');
        const stops = ofType(resources, 'aws_scheduler_schedule').filter(({ address }) => address.includes('["stop-'));
        const stopped = ofType(resources, 'aws_db_instance', 'aws_eks_node_group').filter(
          ({ values }) => values.replicate_source_db == null,
        );
        if (isProduction) return [...spot, ...stops].map(({ address }) => `${address} has no place in production`);
        return [
          ...(spot.length > 0 ? [] : ['there are no spot nodes']),
          ...(stops.length === stopped.length
            ? []
            : [`${stops.length} of ${stopped.length} databases and node groups stop at night`]),
        ];
      },
    },
    {
      name: 'private endpoints, firewall and second factor are off by default',
      check: (resources) =>
        resources
          .filter(
            ({ type, values }) =>
              type.startsWith('aws_wafv2') || type === 'aws_iam_group' || values.vpc_endpoint_type === 'Interface',
          )
          .map(({ address }) => `${address} is on`),
    },
  ];
}
