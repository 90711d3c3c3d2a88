variable "name" {
  type = string
}
variable "region" {
  type = string
}
variable "account_id" {
  type = string
}
variable "kms_key_arn" {
  type = string
}
variable "time_zone" {
  type    = string
  default = "Europe/Berlin"
}
variable "stop_at" {
  description = "Minutes and hours of cron, on working days."
  type        = string
  default     = "0 20"
}
variable "start_at" {
  type    = string
  default = "0 7"
}
variable "databases" {
  description = "Identifiers of RDS instances, as keys."
  type        = map(bool)
}
variable "cluster_name" {
  type = string
}
variable "node_groups" {
  description = "Sizes by day."
  type        = map(object({ min = number, max = number }))
}
