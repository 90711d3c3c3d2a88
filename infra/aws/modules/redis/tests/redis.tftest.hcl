mock_provider "aws" {
  mock_resource "aws_elasticache_replication_group" {
    defaults = { primary_endpoint_address = "primary.test", configuration_endpoint_address = "configuration.test" }
  }
}

variables {
  name                     = "headwater-test"
  vpc_id                   = "vpc-1"
  subnet_ids               = ["subnet-a", "subnet-b"]
  client_security_group_id = "sg-nodes"
  kms_key_arn              = "arn:aws:kms:eu-central-1:111122223333:key/k"
  node_type                = "cache.t4g.small"
  replicas                 = 1
  snapshot_days            = 7
  password                 = "a-password-of-a-test"
  password_version         = 1
}

run "fails_over" {
  command = apply
  assert {
    condition     = aws_elasticache_replication_group.this.automatic_failover_enabled && aws_elasticache_replication_group.this.transit_encryption_mode == "required"
    error_message = "a replica takes over, and TLS is required"
  }
  assert {
    condition     = output.host == "primary.test" && output.is_cluster == false
    error_message = "clients begin at the primary"
  }
}

run "shards" {
  command = apply
  variables {
    shards = 3
  }
  assert {
    condition     = output.host == "configuration.test" && contains([for parameter in aws_elasticache_parameter_group.this.parameter : parameter.name], "cluster-enabled")
    error_message = "clients begin at the cluster's configuration"
  }
}

run "shards_without_replicas_are_refused" {
  command = plan
  variables {
    shards   = 3
    replicas = 0
  }
  expect_failures = [aws_elasticache_replication_group.this]
}
