# Once for each account, by an administrator and with a local state: where the state of the environments is, and the roles of GitHub Actions.
terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

locals {
  region = "eu-central-1"
  name   = "headwater-${var.environment}"
}

provider "aws" {
  region              = local.region
  allowed_account_ids = [var.account_id]
  default_tags {
    tags = {
      project     = "headwater"
      environment = var.environment
      owner       = var.owner
      cost-center = var.cost_center
      managed-by  = "terraform"
    }
  }
}

module "encryption" {
  source     = "../modules/encryption"
  name       = "${local.name}-state"
  region     = local.region
  account_id = var.account_id
}

module "state" {
  source      = "../modules/state"
  name        = local.name
  account_id  = var.account_id
  kms_key_arn = module.encryption.key_arn
}

module "deploy_access" {
  source       = "../modules/deploy_access"
  name         = local.name
  environment  = "infrastructure-${var.environment}"
  repository   = var.repository
  region       = local.region
  account_id   = var.account_id
  state_bucket = module.state.bucket
  lock_table   = module.state.lock_table
  kms_key_arn  = module.encryption.key_arn
}
