variable "name" {
  description = "Prefix of the environment's names."
  type        = string
}
variable "environment" {
  description = "Environment of GitHub whose approval is needed to apply."
  type        = string
}
variable "repository" {
  description = "owner/name"
  type        = string
  validation {
    condition     = can(regex("^[\\w.-]+/[\\w.-]+$", var.repository))
    error_message = "repository must be owner/name."
  }
}
variable "region" {
  type = string
}
variable "account_id" {
  type = string
}
variable "state_bucket" {
  type = string
}
variable "lock_table" {
  type = string
}
variable "kms_key_arn" {
  type = string
}
