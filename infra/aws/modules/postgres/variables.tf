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
variable "engine_version" {
  type    = string
  default = "15.14"
}
variable "instance_class" {
  type = string
}
variable "database" {
  description = "Name of the first database."
  type        = string
}
variable "disk_gib" {
  type = number
}
variable "max_disk_gib" {
  description = "The disk grows up to this."
  type        = number
}
variable "multi_az" {
  description = "A second instance in another zone that takes over."
  type        = bool
}
variable "backup_days" {
  description = "Days that any second can be restored."
  type        = number
  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "backup_days must be 1 to 35."
  }
}
variable "read_replicas" {
  type    = number
  default = 0
}
variable "deletion_protection" {
  type = bool
}
variable "password" {
  description = "Password of the user headwater. It is not in the state."
  type        = string
  sensitive   = true
  ephemeral   = true
}
variable "password_version" {
  description = "A new number sets the password anew."
  type        = number
}
