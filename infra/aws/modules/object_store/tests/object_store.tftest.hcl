mock_provider "aws" {}

run "six_buckets" {
  command = apply
  variables {
    name        = "headwater-test"
    account_id  = "111122223333"
    kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/k"
  }
  assert {
    condition     = keys(output.buckets) == ["features", "logs", "models", "predictions", "raw", "reports"]
    error_message = "there is a bucket for each kind of data"
  }
  assert {
    condition     = output.buckets.raw == "headwater-test-raw-111122223333"
    error_message = "names hold the account, since they are unique in all of AWS"
  }
}
