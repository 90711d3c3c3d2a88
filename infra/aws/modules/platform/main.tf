# All of an environment. Environments give sizes.
locals {
  name = "headwater-${var.environment}"
  oidc = { provider_arn = module.kubernetes.oidc_provider_arn, issuer = module.kubernetes.oidc_issuer, namespace = "headwater" }
  # One KMS statement for the roles that read or write encrypted objects.
  read_key  = { sid = "ReadKey", actions = ["kms:Decrypt"], resources = [module.encryption.key_arn], condition = null }
  write_key = { sid = "WriteKey", actions = ["kms:Decrypt", "kms:GenerateDataKey"], resources = [module.encryption.key_arn], condition = null }
  buckets   = module.object_store.buckets
  secrets   = toset(["database", "redis", "mlflow", "access", "gateway", "features", "serving"])
}

data "aws_caller_identity" "this" {}

module "encryption" {
  source     = "../encryption"
  name       = local.name
  region     = var.region
  account_id = data.aws_caller_identity.this.account_id
}

module "network" {
  source               = "../network"
  name                 = local.name
  region               = var.region
  account_id           = data.aws_caller_identity.this.account_id
  kms_key_arn          = module.encryption.key_arn
  cidr                 = var.cidr
  zones                = var.zones
  nat_gateway_per_zone = var.survives_a_zone
}

module "vpc_endpoints" {
  source     = "../vpc_endpoints"
  count      = var.vpc_endpoints ? 1 : 0
  name       = local.name
  region     = var.region
  vpc_id     = module.network.vpc_id
  cidr       = var.cidr
  subnet_ids = module.network.private_subnet_ids
}

module "waf" {
  source             = "../waf"
  count              = var.waf ? 1 : 0
  name               = local.name
  kms_key_arn        = module.encryption.key_arn
  load_balancer_arns = var.load_balancer_arns
}

module "mfa" {
  source = "../mfa"
  count  = var.mfa ? 1 : 0
  name   = local.name
}

module "kubernetes" {
  source                  = "../kubernetes"
  name                    = local.name
  kms_key_arn             = module.encryption.key_arn
  subnet_ids              = module.network.private_subnet_ids
  api_cidrs               = var.api_cidrs
  administrator_role_arns = var.administrator_role_arns
  instance_types          = var.node_types
  nodes                   = var.nodes
  spot_nodes              = var.spot_nodes
  deletion_protection     = var.deletion_protection
  tags                    = var.tags
}

module "kafka" {
  source                   = "../kafka"
  name                     = local.name
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.private_subnet_ids
  client_security_group_id = module.kubernetes.node_security_group_id
  kms_key_arn              = module.encryption.key_arn
  brokers                  = length(var.zones)
  instance_type            = var.kafka_type
  disk_gib                 = var.kafka_disk_gib
  max_disk_gib             = var.kafka_disk_gib * 10
  password                 = var.kafka_password
  password_version         = var.passwords_version
}

module "postgres" {
  source                   = "../postgres"
  name                     = local.name
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.private_subnet_ids
  client_security_group_id = module.kubernetes.node_security_group_id
  kms_key_arn              = module.encryption.key_arn
  instance_class           = var.postgres_class
  database                 = "headwater"
  disk_gib                 = var.postgres_disk_gib
  max_disk_gib             = var.postgres_disk_gib * 10
  multi_az                 = var.survives_a_zone
  read_replicas            = var.postgres_read_replicas
  backup_days              = var.backup_days
  deletion_protection      = var.deletion_protection
  password                 = var.database_password
  password_version         = var.passwords_version
}

module "redis" {
  source                   = "../redis"
  name                     = local.name
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.private_subnet_ids
  client_security_group_id = module.kubernetes.node_security_group_id
  kms_key_arn              = module.encryption.key_arn
  node_type                = var.redis_type
  shards                   = var.redis_shards
  replicas                 = var.redis_replicas
  snapshot_days            = var.backup_days
  password                 = var.redis_password
  password_version         = var.passwords_version
}

module "object_store" {
  source           = "../object_store"
  name             = local.name
  account_id       = data.aws_caller_identity.this.account_id
  kms_key_arn      = module.encryption.key_arn
  keep_events_days = var.keep_events_days
}

module "registry" {
  source                   = "../registry"
  name                     = local.name
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.private_subnet_ids
  client_security_group_id = module.kubernetes.node_security_group_id
  kms_key_arn              = module.encryption.key_arn
  oidc                     = local.oidc
  bucket                   = local.buckets.models
  instance_class           = var.mlflow_class
  multi_az                 = var.survives_a_zone
  backup_days              = var.backup_days
  deletion_protection      = var.deletion_protection
  password                 = var.database_password
  password_version         = var.passwords_version
}

# Roles of the platform, by service account. The gateway needs the broker alone, so it has no role.
module "iam" {
  source = "../iam"
  name   = local.name
  oidc   = local.oidc
  roles = {
    pipeline = {
      service_account = "pipeline"
      statements = [
        { sid = "Archive", actions = ["s3:GetObject", "s3:PutObject"], resources = ["arn:aws:s3:::${local.buckets.raw}/*", "arn:aws:s3:::${local.buckets.features}/*"] },
        { sid = "ListArchive", actions = ["s3:ListBucket"], resources = ["arn:aws:s3:::${local.buckets.raw}", "arn:aws:s3:::${local.buckets.features}"] },
        local.write_key,
      ]
    }
    features = {
      service_account = "features"
      statements = [
        { sid = "History", actions = ["s3:GetObject"], resources = ["arn:aws:s3:::${local.buckets.features}/*"] },
        { sid = "ListHistory", actions = ["s3:ListBucket"], resources = ["arn:aws:s3:::${local.buckets.features}"] },
        local.read_key,
      ]
    }
    serving = {
      service_account = "serving"
      statements = [
        { sid = "Models", actions = ["s3:GetObject"], resources = ["arn:aws:s3:::${local.buckets.models}/*"] },
        { sid = "ListModels", actions = ["s3:ListBucket"], resources = ["arn:aws:s3:::${local.buckets.models}"] },
        local.read_key,
      ]
    }
    monitor = {
      service_account = "monitor"
      statements = [
        # PutMetricData knows no resources: the namespace is the boundary.
        { sid = "Metrics", actions = ["cloudwatch:PutMetricData"], resources = ["*"], condition = { StringEquals = { "cloudwatch:namespace" = "headwater" } } },
        { sid = "Predictions", actions = ["s3:GetObject"], resources = ["arn:aws:s3:::${local.buckets.predictions}/*"] },
        local.read_key,
      ]
    }
    jobs = {
      service_account = "jobs"
      statements = [
        { sid = "Results", actions = ["s3:GetObject", "s3:PutObject"], resources = [for bucket in ["reports", "predictions", "features"] : "arn:aws:s3:::${local.buckets[bucket]}/*"] },
        { sid = "Inputs", actions = ["s3:GetObject"], resources = ["arn:aws:s3:::${local.buckets.raw}/*", "arn:aws:s3:::${local.buckets.models}/*"] },
        { sid = "List", actions = ["s3:ListBucket"], resources = [for bucket in ["raw", "features", "models", "predictions", "reports"] : "arn:aws:s3:::${local.buckets[bucket]}"] },
        local.write_key,
      ]
    }
    alertmanager = {
      service_account = "alertmanager"
      statements = [
        { sid = "Alerts", actions = ["sns:Publish"], resources = [for topic in ["on-call", "data-quality", "model"] : "arn:aws:sns:${var.region}:${data.aws_caller_identity.this.account_id}:${local.name}-${topic}"] },
        local.write_key,
      ]
    }
    secrets = {
      service_account = "secrets"
      statements = [
        { sid = "Secrets", actions = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"], resources = [
          "arn:aws:secretsmanager:${var.region}:${data.aws_caller_identity.this.account_id}:secret:headwater/*",
          "arn:aws:secretsmanager:${var.region}:${data.aws_caller_identity.this.account_id}:secret:${module.kafka.secret_name}-??????",
        ] },
        local.read_key,
      ]
    }
  }
}

resource "aws_secretsmanager_secret" "this" {
  for_each   = local.secrets
  name       = "headwater/${each.key}"
  kms_key_id = module.encryption.key_arn
}

# Keys of callers and MLflow's token are written by an operator; these two are known here.
resource "aws_secretsmanager_secret_version" "database" {
  secret_id                = aws_secretsmanager_secret.this["database"].id
  secret_string_wo         = jsonencode({ password = var.database_password })
  secret_string_wo_version = var.passwords_version
}

resource "aws_secretsmanager_secret_version" "redis" {
  secret_id                = aws_secretsmanager_secret.this["redis"].id
  secret_string_wo         = jsonencode({ password = var.redis_password })
  secret_string_wo_version = var.passwords_version
}

module "monitoring" {
  source             = "../monitoring"
  name               = local.name
  environment        = var.environment
  region             = var.region
  account_id         = data.aws_caller_identity.this.account_id
  kms_key_arn        = module.encryption.key_arn
  subscriptions      = var.subscriptions
  databases          = [local.name, "${local.name}-mlflow"]
  kafka_cluster      = module.kafka.cluster_name
  redis_group        = module.redis.id
  stops_at_night     = var.stops_at_night
  monthly_budget_usd = var.monthly_budget_usd
}

module "schedule" {
  source       = "../schedule"
  count        = var.stops_at_night ? 1 : 0
  name         = local.name
  region       = var.region
  account_id   = data.aws_caller_identity.this.account_id
  kms_key_arn  = module.encryption.key_arn
  databases    = { (local.name) = true, "${local.name}-mlflow" = true }
  cluster_name = local.name
  node_groups  = module.kubernetes.node_groups
}
