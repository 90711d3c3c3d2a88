variable "name" {
  type = string
}
variable "vpc_id" {
  type = string
}
variable "subnet_ids" {
  type = list(string)
}
variable "client_security_group_id" {
  description = "Group of those that may connect."
  type        = string
}
variable "kms_key_arn" {
  type = string
}
variable "node_type" {
  type = string
}
variable "shards" {
  description = "More than one for a Redis cluster."
  type        = number
  default     = 1
}
variable "replicas" {
  description = "Of each shard; one or more for automatic failover."
  type        = number
}
variable "snapshot_days" {
  type = number
}
variable "password" {
  description = "16 to 128 characters. It is not in the state."
  type        = string
  sensitive   = true
  ephemeral   = true
}
variable "password_version" {
  description = "A new number sets the password anew."
  type        = number
}
