mock_provider "aws" {}

variables {
  bucket      = "headwater-test-raw"
  kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/k"
}

run "private_encrypted_versioned" {
  command = plan
  assert {
    condition     = aws_s3_bucket_public_access_block.this.block_public_acls && aws_s3_bucket_public_access_block.this.restrict_public_buckets
    error_message = "nothing of it is public"
  }
  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "it is versioned"
  }
  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
    error_message = "it is encrypted with the key"
  }
  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.this.rule) == 1 && length(aws_s3_bucket_logging.this) == 0
    error_message = "objects stay unless a number of days is given"
  }
}

run "expires_and_logs" {
  command = plan
  variables {
    expire_after_days  = 30
    archive_after_days = 10
    access_log_bucket  = "headwater-test-logs"
  }
  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.id] == ["parts", "archive", "expire"]
    error_message = "there is a rule for each number of days"
  }
  assert {
    condition     = aws_s3_bucket_logging.this[0].target_prefix == "access/headwater-test-raw/"
    error_message = "requests are logged"
  }
}

run "a_wrong_name_is_refused" {
  command = plan
  variables {
    bucket = "Headwater_Raw"
  }
  expect_failures = [var.bucket]
}
