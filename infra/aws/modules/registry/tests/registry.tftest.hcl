mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/mock" }
  }
}

run "a_database_and_a_role" {
  command = apply
  variables {
    name                     = "headwater-test"
    vpc_id                   = "vpc-1"
    subnet_ids               = ["subnet-a", "subnet-b"]
    client_security_group_id = "sg-nodes"
    kms_key_arn              = "arn:aws:kms:eu-central-1:111122223333:key/k"
    oidc                     = { provider_arn = "arn:aws:iam::111122223333:oidc-provider/o", issuer = "o", namespace = "headwater" }
    bucket                   = "headwater-test-models"
    instance_class           = "db.t4g.small"
    multi_az                 = false
    backup_days              = 7
    deletion_protection      = true
    password                 = "a-password-of-a-test"
    password_version         = 1
  }
  assert {
    condition     = output.artifacts == "s3://headwater-test-models/artifacts"
    error_message = "artifacts are in the bucket"
  }
  assert {
    condition     = output.database_identifier == "headwater-test-mlflow"
    error_message = "the database is the registry's own"
  }
}
