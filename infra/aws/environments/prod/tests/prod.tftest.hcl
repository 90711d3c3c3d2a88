mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/mock" }
  }
  mock_resource "aws_eks_cluster" {
    defaults = {
      identity   = [{ oidc = [{ issuer = "https://oidc.test/id/AB" }] }]
      vpc_config = { cluster_security_group_id = "sg-nodes" }
    }
  }
  mock_resource "aws_elasticache_replication_group" {
    defaults = { primary_endpoint_address = "redis.test" }
  }
  mock_resource "aws_msk_cluster" {
    defaults = { bootstrap_brokers_sasl_scram = "b-1.test:9096,b-2.test:9096" }
  }
}

variables {
  database_password = "a-password-of-a-test"
  redis_password    = "a-password-of-a-test"
  kafka_password    = "a-password-of-a-test"
}

run "whole" {
  command = apply
  assert {
    condition     = output.overlay.kafka_brokers == "b-1.test:9096,b-2.test:9096" && output.overlay.redis_host == "redis.test"
    error_message = "the overlay has the addresses of the stores"
  }
  assert {
    condition     = output.overlay.reports_bucket == "headwater-prod-reports-111122223333" && output.overlay.domain == "example.com"
    error_message = "names are this environment's"
  }
  assert {
    condition     = keys(output.overlay.role_arns) == ["alertmanager", "features", "jobs", "mlflow", "monitor", "pipeline", "secrets", "serving"]
    error_message = "each service account that calls AWS has a role"
  }
}

run "a_short_password_is_refused" {
  command = plan
  variables {
    redis_password = "short"
  }
  expect_failures = [var.redis_password]
}
