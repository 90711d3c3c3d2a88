variable "account_id" {
  description = "AWS account of this environment."
  type        = string
  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}
variable "domain" {
  description = "Domain of the listeners."
  type        = string
}
variable "owner" {
  description = "Team that answers for the costs."
  type        = string
}
variable "cost_center" {
  type = string
}
variable "api_cidrs" {
  description = "Networks that reach the API of Kubernetes; none for the VPC alone."
  type        = list(string)
  default     = []
}
variable "administrator_role_arns" {
  description = "IAM roles that administer the cluster."
  type        = list(string)
  default     = []
}
variable "subscriptions" {
  description = "E-mail addresses by topic of alerts."
  type        = map(list(string))
}
variable "vpc_endpoints" {
  description = "Private endpoints of AWS's services."
  type        = bool
  default     = false
}
variable "waf" {
  description = "A web application firewall."
  type        = bool
  default     = false
}
variable "load_balancer_arns" {
  description = "Load balancers behind the firewall."
  type        = list(string)
  default     = []
}
variable "mfa" {
  description = "A group whose people need a second factor."
  type        = bool
  default     = false
}
# From the environment (TF_VAR_database_password and so on), 16 characters or more. They are not in the state.
variable "database_password" {
  type      = string
  sensitive = true
  ephemeral = true
  validation {
    condition     = length(var.database_password) >= 16
    error_message = "database_password must have 16 characters or more."
  }
}
variable "redis_password" {
  type      = string
  sensitive = true
  ephemeral = true
  validation {
    condition     = length(var.redis_password) >= 16 && length(var.redis_password) <= 128
    error_message = "redis_password must have 16 to 128 characters."
  }
}
variable "kafka_password" {
  type      = string
  sensitive = true
  ephemeral = true
  validation {
    condition     = length(var.kafka_password) >= 16
    error_message = "kafka_password must have 16 characters or more."
  }
}
variable "passwords_version" {
  description = "A new number sets all passwords anew."
  type        = number
  default     = 1
}
