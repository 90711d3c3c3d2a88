mock_provider "aws" {}

run "locks_and_versions" {
  command = apply
  variables {
    name        = "headwater"
    account_id  = "111122223333"
    kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/k"
  }
  assert {
    condition     = aws_dynamodb_table.locks.hash_key == "LockID" && one(aws_dynamodb_table.locks.point_in_time_recovery).enabled
    error_message = "the table has the key that Terraform writes"
  }
  assert {
    condition     = output.bucket == "headwater-state-111122223333"
    error_message = "the bucket's name holds the account"
  }
}
