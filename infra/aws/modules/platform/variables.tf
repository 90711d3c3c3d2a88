variable "environment" {
  type = string
  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "environment must be dev, staging or prod."
  }
}
variable "region" {
  type = string
}
variable "zones" {
  type = list(string)
}
variable "cidr" {
  type = string
}
variable "domain" {
  description = "Domain of the listeners: ingest.DOMAIN, features.DOMAIN, predict.DOMAIN, mlflow.DOMAIN."
  type        = string
}
variable "tags" {
  type = map(string)
}
variable "api_cidrs" {
  description = "Networks that reach the API of Kubernetes."
  type        = list(string)
}
variable "administrator_role_arns" {
  type    = list(string)
  default = []
}
variable "survives_a_zone" {
  description = "A NAT gateway in each zone, and databases in two."
  type        = bool
}
variable "deletion_protection" {
  type    = bool
  default = true
}
variable "backup_days" {
  type = number
}
variable "keep_events_days" {
  type = number
}
variable "node_types" {
  type = list(string)
}
variable "nodes" {
  type = object({ min = number, max = number })
}
variable "spot_nodes" {
  type    = object({ min = number, max = number })
  default = null
}
variable "kafka_type" {
  type = string
}
variable "kafka_disk_gib" {
  type = number
}
variable "postgres_class" {
  type = string
}
variable "postgres_disk_gib" {
  type = number
}
variable "postgres_read_replicas" {
  type    = number
  default = 0
}
variable "mlflow_class" {
  type = string
}
variable "redis_type" {
  type = string
}
variable "redis_shards" {
  type    = number
  default = 1
}
variable "redis_replicas" {
  type = number
}
variable "subscriptions" {
  type = map(list(string))
}
variable "monthly_budget_usd" {
  type = number
}
variable "stops_at_night" {
  description = "Databases and nodes run on working days from 7 to 20 only."
  type        = bool
  default     = false
}
variable "vpc_endpoints" {
  type    = bool
  default = false
}
variable "waf" {
  type    = bool
  default = false
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
variable "database_password" {
  type      = string
  sensitive = true
  ephemeral = true
}
variable "redis_password" {
  type      = string
  sensitive = true
  ephemeral = true
}
variable "kafka_password" {
  type      = string
  sensitive = true
  ephemeral = true
}
variable "passwords_version" {
  description = "A new number sets all passwords anew."
  type        = number
  default     = 1
}
