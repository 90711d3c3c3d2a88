# Where Terraform keeps its state: a bucket, and a table of locks so that two runs do not write at once.
module "logs" {
  source                  = "../bucket"
  bucket                  = "${var.name}-state-logs-${var.account_id}"
  receives_access_logs_of = var.account_id
  expire_after_days       = 365
}

module "bucket" {
  source             = "../bucket"
  bucket             = "${var.name}-state-${var.account_id}"
  kms_key_arn        = var.kms_key_arn
  access_log_bucket  = module.logs.bucket
  keep_versions_days = 365
}

resource "aws_dynamodb_table" "locks" {
  name                        = "${var.name}-state-locks"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "LockID"
  deletion_protection_enabled = true
  attribute {
    name = "LockID"
    type = "S"
  }
  server_side_encryption {
    enabled     = true
    kms_key_arn = var.kms_key_arn
  }
  point_in_time_recovery {
    enabled = true
  }
}
