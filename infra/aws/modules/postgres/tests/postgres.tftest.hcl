mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/mock" }
  }
}

variables {
  name                     = "headwater-test"
  vpc_id                   = "vpc-1"
  subnet_ids               = ["subnet-a", "subnet-b"]
  client_security_group_id = "sg-nodes"
  kms_key_arn              = "arn:aws:kms:eu-central-1:111122223333:key/k"
  instance_class           = "db.t4g.medium"
  database                 = "headwater"
  disk_gib                 = 20
  max_disk_gib             = 100
  multi_az                 = true
  backup_days              = 14
  deletion_protection      = true
  password                 = "a-password-of-a-test"
  password_version         = 1
}

run "survives_a_zone" {
  command = apply
  assert {
    condition     = aws_db_instance.this.multi_az && aws_db_instance.this.backup_retention_period == 14 && aws_db_instance.this.storage_encrypted
    error_message = "two zones, backups, encryption"
  }
  assert {
    condition     = one([for parameter in aws_db_parameter_group.this.parameter : parameter.value if parameter.name == "rds.force_ssl"]) == "1"
    error_message = "connections without TLS are refused"
  }
  assert {
    condition     = aws_db_parameter_group.this.family == "postgres15" && length(aws_db_instance.replica) == 0
    error_message = "the parameters are of the engine's version"
  }
  assert {
    condition     = aws_db_instance.this.password_wo == null
    error_message = "the password is not in the state"
  }
}

run "read_replicas" {
  command = apply
  variables {
    read_replicas = 2
  }
  assert {
    condition     = [for replica in aws_db_instance.replica : replica.identifier] == ["headwater-test-replica-1", "headwater-test-replica-2"]
    error_message = "there are as many replicas as requested"
  }
}

run "no_backups_are_refused" {
  command = plan
  variables {
    backup_days = 0
  }
  expect_failures = [var.backup_days]
}
