mock_provider "aws" {}

variables {
  name                     = "headwater-test"
  vpc_id                   = "vpc-1"
  subnet_ids               = ["subnet-a", "subnet-b", "subnet-c"]
  client_security_group_id = "sg-nodes"
  kms_key_arn              = "arn:aws:kms:eu-central-1:111122223333:key/k"
  brokers                  = 3
  instance_type            = "kafka.t3.small"
  disk_gib                 = 50
  max_disk_gib             = 500
  password                 = "a-password-of-a-test"
  password_version         = 1
}

run "nothing_is_lost_with_a_broker" {
  command = apply
  assert {
    condition     = strcontains(aws_msk_configuration.this.server_properties, "min.insync.replicas=2") && strcontains(aws_msk_configuration.this.server_properties, "unclean.leader.election.enable=false")
    error_message = "a record is on two brokers before it is acknowledged"
  }
  assert {
    condition     = aws_msk_cluster.this.client_authentication[0].unauthenticated == false && aws_msk_cluster.this.encryption_info[0].encryption_in_transit[0].client_broker == "TLS"
    error_message = "clients need a password and TLS"
  }
  assert {
    condition     = aws_secretsmanager_secret_version.this.secret_string_wo == null
    error_message = "the password is not in the state"
  }
}

run "four_brokers_in_three_zones_are_refused" {
  command = plan
  variables {
    brokers = 4
  }
  expect_failures = [var.brokers]
}
