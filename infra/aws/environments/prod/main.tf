# Production: everything in three zones, no spot nodes, never stopped.
terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
  # The bucket is infra/aws/bootstrap's and encrypts with a key of its own: tofu init -backend-config="bucket=headwater-prod-state-ACCOUNT".
  backend "s3" {
    key            = "headwater/prod.tfstate"
    region         = "eu-central-1"
    dynamodb_table = "headwater-prod-state-locks"
  }
}

locals {
  environment = "prod"
  region      = "eu-central-1"
  # Costs are counted by these tags.
  tags = {
    project     = "headwater"
    environment = local.environment
    owner       = var.owner
    cost-center = var.cost_center
    managed-by  = "terraform"
  }
}

provider "aws" {
  region = local.region
  # An apply with the credentials of another account is refused.
  allowed_account_ids = [var.account_id]
  default_tags {
    tags = local.tags
  }
}

module "platform" {
  source      = "../../modules/platform"
  environment = local.environment
  region      = local.region
  tags        = local.tags
  zones       = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  cidr        = "10.30.0.0/16"
  domain      = var.domain

  api_cidrs               = var.api_cidrs
  administrator_role_arns = var.administrator_role_arns
  subscriptions           = var.subscriptions

  survives_a_zone  = true
  backup_days      = 35
  keep_events_days = 400
  stops_at_night   = false

  node_types             = ["m7i.xlarge"]
  nodes                  = { min = 3, max = 12 }
  spot_nodes             = null
  kafka_type             = "kafka.m7g.large"
  kafka_disk_gib         = 500
  postgres_class         = "db.r7g.xlarge"
  postgres_disk_gib      = 200
  postgres_read_replicas = 1
  mlflow_class           = "db.m7g.large"
  redis_type             = "cache.r7g.large"
  redis_shards           = 1
  redis_replicas         = 2

  monthly_budget_usd = 7000

  vpc_endpoints      = var.vpc_endpoints
  waf                = var.waf
  load_balancer_arns = var.load_balancer_arns
  mfa                = var.mfa

  database_password = var.database_password
  redis_password    = var.redis_password
  kafka_password    = var.kafka_password
  passwords_version = var.passwords_version
}
