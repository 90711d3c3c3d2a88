# The platform's data: events as they came, features, models, predictions, reports; and logs, which get the access logs of the others.
locals {
  buckets = {
    raw         = { archive_after_days = 90, expire_after_days = var.keep_events_days }
    features    = { archive_after_days = 90, expire_after_days = var.keep_events_days }
    models      = { archive_after_days = null, expire_after_days = null }
    predictions = { archive_after_days = 30, expire_after_days = var.keep_events_days }
    reports     = { archive_after_days = null, expire_after_days = 365 }
  }
}

module "logs" {
  source                  = "../bucket"
  bucket                  = "${var.name}-logs-${var.account_id}"
  receives_access_logs_of = var.account_id
  expire_after_days       = 30
  keep_versions_days      = 1
}

module "data" {
  source             = "../bucket"
  for_each           = local.buckets
  bucket             = "${var.name}-${each.key}-${var.account_id}"
  kms_key_arn        = var.kms_key_arn
  access_log_bucket  = module.logs.bucket
  archive_after_days = each.value.archive_after_days
  expire_after_days  = each.value.expire_after_days
}
