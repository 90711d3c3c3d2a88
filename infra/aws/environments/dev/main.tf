# Development: the smallest sizes, spot nodes, stopped at night.
terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
  # The bucket is infra/aws/bootstrap's and encrypts with a key of its own: tofu init -backend-config="bucket=headwater-dev-state-ACCOUNT".
  backend "s3" {
    key            = "headwater/dev.tfstate"
    region         = "eu-central-1"
    dynamodb_table = "headwater-dev-state-locks"
  }
}

locals {
  environment = "dev"
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
  cidr        = "10.10.0.0/16"
  domain      = var.domain

  api_cidrs               = var.api_cidrs
  administrator_role_arns = var.administrator_role_arns
  subscriptions           = var.subscriptions

  survives_a_zone  = false
  backup_days      = 7
  keep_events_days = 30
  stops_at_night   = true

  node_types             = ["t3.large"]
  nodes                  = { min = 2, max = 3 }
  spot_nodes             = { min = 0, max = 3 }
  kafka_type             = "kafka.t3.small"
  kafka_disk_gib         = 20
  postgres_class         = "db.t4g.medium"
  postgres_disk_gib      = 20
  postgres_read_replicas = 0
  mlflow_class           = "db.t4g.micro"
  redis_type             = "cache.t4g.small"
  redis_shards           = 1
  redis_replicas         = 0

  monthly_budget_usd = 600

  vpc_endpoints      = var.vpc_endpoints
  waf                = var.waf
  load_balancer_arns = var.load_balancer_arns
  mfa                = var.mfa

  database_password = var.database_password
  redis_password    = var.redis_password
  kafka_password    = var.kafka_password
  passwords_version = var.passwords_version
}
