variable "bucket" {
  description = "Name, which is unique in all of AWS."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket must have 3 to 63 lower-case letters, digits, dots and hyphens."
  }
}
variable "kms_key_arn" {
  description = "Key; null for AES256 with S3's own keys, which buckets of access logs need."
  type        = string
  default     = null
}
variable "access_log_bucket" {
  description = "Bucket that gets a line for each request; null for none."
  type        = string
  default     = null
}
variable "receives_access_logs_of" {
  description = "Account whose buckets write their access logs here; null for none."
  type        = string
  default     = null
}
variable "archive_after_days" {
  description = "Days until objects move to cheaper storage that still answers at once; null for never."
  type        = number
  default     = null
}
variable "expire_after_days" {
  description = "Days until objects are deleted; null for never."
  type        = number
  default     = null
}
variable "keep_versions_days" {
  description = "Days that overwritten and deleted objects can be restored."
  type        = number
  default     = 30
}
