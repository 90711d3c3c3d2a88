variable "environment" {
  type = string
  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "environment must be dev, staging or prod."
  }
}
variable "account_id" {
  description = "AWS account of the environment."
  type        = string
}
variable "owner" {
  type    = string
  default = "platform"
}
variable "cost_center" {
  type    = string
  default = "machine-learning"
}
variable "repository" {
  description = "owner/name on GitHub."
  type        = string
}
