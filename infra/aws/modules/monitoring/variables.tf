variable "name" {
  type = string
}
variable "environment" {
  description = "Value of the tag environment, by which costs are counted."
  type        = string
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
variable "subscriptions" {
  description = "Addresses by topic."
  type        = map(list(string))
  validation {
    condition     = alltrue([for topic in ["on-call", "data-quality", "model", "infrastructure", "cost"] : contains(keys(var.subscriptions), topic)])
    error_message = "subscriptions must name the topics on-call, data-quality, model, infrastructure and cost; a topic may have no address."
  }
}
variable "databases" {
  description = "Identifiers of RDS instances."
  type        = list(string)
}
variable "kafka_cluster" {
  type = string
}
variable "redis_group" {
  type = string
}
variable "stops_at_night" {
  description = "No values at night raise no alarm."
  type        = bool
}
variable "monthly_budget_usd" {
  type = number
  validation {
    condition     = var.monthly_budget_usd > 0
    error_message = "monthly_budget_usd must be more than 0."
  }
}
