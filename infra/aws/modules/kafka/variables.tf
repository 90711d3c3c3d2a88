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
variable "kafka_version" {
  type    = string
  default = "3.9.x"
}
variable "brokers" {
  type = number
  validation {
    condition     = var.brokers >= 3 && var.brokers % length(var.subnet_ids) == 0
    error_message = "brokers must be three or more, and a multiple of the number of subnets."
  }
}
variable "instance_type" {
  type = string
}
variable "disk_gib" {
  description = "Of each broker, at first."
  type        = number
}
variable "max_disk_gib" {
  type = number
}
variable "default_partitions" {
  type    = number
  default = 12
}
variable "retention_hours" {
  type    = number
  default = 168
}
variable "password" {
  description = "Password of the user headwater. It is not in the state."
  type        = string
  sensitive   = true
  ephemeral   = true
}
variable "password_version" {
  description = "A new number writes the password anew."
  type        = number
}
