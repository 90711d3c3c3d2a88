variable "name" {
  type = string
}
variable "account_id" {
  type = string
}
variable "kms_key_arn" {
  type = string
}
variable "keep_events_days" {
  description = "Days that events, features and predictions are kept."
  type        = number
  default     = 400
}
