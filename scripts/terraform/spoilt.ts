// Configurations with a fault each, which a check must refuse.

interface Spoilt {
  readonly what: string;
  /** Below infra/. */
  readonly path: string;
  readonly found: string;
  readonly instead: string;
  readonly refusal: RegExp;
}

/** Refused by `tofu validate`. */
export const SPOILT_CODE: readonly Spoilt[] = [
  {
    what: 'a misspelt argument',
    path: 'aws/modules/postgres/main.tf',
    found: 'multi_az                              = var.multi_az',
    instead: 'multi_zone                            = var.multi_az',
    refusal: /An argument named "multi_zone" is not expected here/,
  },
  {
    what: 'a missing argument',
    path: 'aws/modules/kubernetes/main.tf',
    found: '  role_arn                  = aws_iam_role.cluster.arn\n',
    instead: '',
    refusal: /The argument "role_arn" is required/,
  },
  {
    what: 'a CIDR block with bits of a host',
    path: 'aws/modules/network/main.tf',
    found: 'destination_cidr_block = "0.0.0.0/0"\n  gateway_id',
    instead: 'destination_cidr_block = "10.0.0.1/8"\n  gateway_id',
    refusal: /"10\.0\.0\.1\/8" is not a valid CIDR block: its network is 10\.0\.0\.0\/8/,
  },
  {
    what: 'a policy that is no JSON',
    path: 'aws/modules/mfa/main.tf',
    found: 'policy = jsonencode({',
    instead: 'policy = "Allow" != "" ? "Allow" : jsonencode({',
    refusal: /"policy" contains an invalid JSON policy/,
  },
];

const DEV = 'aws/environments/dev';

/** Refused by the policies on the plan of `root`. */
export const SPOILT: readonly (Spoilt & { readonly root: string })[] = [
  {
    what: 'a bucket that may be public',
    root: DEV,
    path: 'aws/modules/bucket/main.tf',
    found: 'restrict_public_buckets = true',
    instead: 'restrict_public_buckets = false',
    refusal: /aws_s3_bucket\.this is not private/,
  },
  {
    what: 'a bucket without versions',
    root: DEV,
    path: 'aws/modules/bucket/main.tf',
    found: 'status = "Enabled"\n  }\n}',
    instead: 'status = "Suspended"\n  }\n}',
    refusal: /aws_s3_bucket\.this is not versioned/,
  },
  {
    what: 'a bucket without encryption',
    root: DEV,
    path: 'aws/modules/bucket/main.tf',
    found: 'var.kms_key_arn == null ? "AES256" : "aws:kms"',
    instead: '"none"',
    refusal: /aws_s3_bucket\.this is not encrypted/,
  },
  {
    what: 'a bucket that answers without TLS',
    root: DEV,
    path: 'aws/modules/bucket/main.tf',
    found: '"aws:SecureTransport" = "false"',
    instead: '"aws:SecureTransport" = "true"',
    refusal: /aws_s3_bucket\.this answers without TLS/,
  },
  {
    what: 'a resource without tags',
    root: DEV,
    path: 'aws/environments/dev/main.tf',
    found: '    cost-center = var.cost_center\n',
    instead: '',
    refusal: /aws_vpc\.this lacks the tags cost-center/,
  },
  {
    what: 'a policy with a wildcard as action',
    root: 'aws/bootstrap',
    path: 'aws/modules/deploy_access/main.tf',
    found: 'Action = ["s3:GetObject", "s3:PutObject"]',
    instead: 'Action = ["s3:*"]',
    refusal: /statement State has a wildcard/,
  },
  {
    what: 'a policy with a wildcard as resource',
    root: DEV,
    path: 'aws/modules/platform/main.tf',
    found: 'sid = "Predictions", actions = ["s3:GetObject"], resources = [',
    instead: 'sid = "Predictions", actions = ["s3:GetObject"], resources = ["*", ',
    refusal: /statement Predictions has a wildcard/,
  },
  {
    what: 'a policy that allows everyone',
    root: DEV,
    path: 'aws/modules/monitoring/main.tf',
    found: 'Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }',
    instead: 'Principal = "*"',
    refusal: /AlarmsAndBudgetsOfThisAccount allows everyone/,
  },
  {
    what: 'a role of an administrator',
    root: DEV,
    path: 'aws/modules/kubernetes/main.tf',
    found: 'policy/AmazonEKSClusterPolicy',
    instead: 'policy/AdministratorAccess',
    refusal: /attaches arn:aws:iam::aws:policy\/AdministratorAccess/,
  },
  {
    what: 'a database that is open to the world',
    root: DEV,
    path: 'aws/modules/postgres/main.tf',
    found: 'referenced_security_group_id = var.client_security_group_id',
    instead: 'cidr_ipv4                    = "0.0.0.0/0"',
    refusal: /postgres\.aws_vpc_security_group_ingress_rule\.nodes is open to the world/,
  },
  {
    what: 'a load balancer that is open on every port',
    root: DEV,
    path: 'aws/modules/network/main.tf',
    found: 'from_port         = 443',
    instead: 'from_port         = 1',
    refusal: /network\.aws_vpc_security_group_ingress_rule\.https is open to the world/,
  },
  {
    what: 'a database without encryption',
    root: DEV,
    path: 'aws/modules/postgres/main.tf',
    found: 'storage_encrypted                     = true',
    instead: 'storage_encrypted                     = false',
    refusal: /aws_db_instance\.this is not encrypted/,
  },
  {
    what: 'brokers without TLS',
    root: DEV,
    path: 'aws/modules/kafka/main.tf',
    found: 'client_broker = "TLS"',
    instead: 'client_broker = "TLS_PLAINTEXT"',
    refusal: /aws_msk_cluster\.this takes clients without TLS or a password/,
  },
  {
    what: 'a budget that reports to another topic',
    root: DEV,
    path: 'aws/modules/monitoring/main.tf',
    found: 'aws_sns_topic.this["cost"].arn',
    instead: 'aws_sns_topic.this["model"].arn',
    refusal: /no budget reports to the topic of costs/,
  },
  {
    what: 'a development that is not stopped at night',
    root: DEV,
    path: 'aws/environments/dev/main.tf',
    found: 'stops_at_night   = true',
    instead: 'stops_at_night   = false',
    refusal: /0 of 4 databases and node groups stop at night/,
  },
  {
    what: 'a firewall that is on by default',
    root: DEV,
    path: 'aws/environments/dev/main.tf',
    found: '= var.waf\n',
    instead: '= true\n',
    refusal: /aws_wafv2_web_acl\.this is on/,
  },
  {
    what: 'a value that the API does not have',
    root: DEV,
    path: 'aws/modules/kubernetes/main.tf',
    found: 'capacity_type = "ON_DEMAND", instance_types = var.instance_types',
    instead: 'capacity_type = "ONDEMAND", instance_types = var.instance_types',
    refusal: /capacity_type is "ONDEMAND", which is none of/,
  },
  {
    what: 'a basic role on Google Cloud',
    root: 'google/environments/dev',
    path: 'google/modules/dataflow/main.tf',
    found: '"roles/dataflow.worker"',
    instead: '"roles/editor"',
    refusal: /grants roles\/editor/,
  },
  {
    what: 'a bucket on Google Cloud that may be public',
    root: 'google/environments/dev',
    path: 'google/modules/dataflow/main.tf',
    found: 'public_access_prevention    = "enforced"',
    instead: 'public_access_prevention    = "inherited"',
    refusal: /google_storage_bucket\.staging is not private/,
  },
];
