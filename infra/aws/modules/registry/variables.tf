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
  type = string
}
variable "kms_key_arn" {
  type = string
}
variable "oidc" {
  description = "The cluster's provider and issuer."
  type        = object({ provider_arn = string, issuer = string, namespace = string })
}
variable "bucket" {
  description = "Bucket of artifacts."
  type        = string
}
variable "instance_class" {
  type = string
}
variable "multi_az" {
  type = bool
}
variable "backup_days" {
  type = number
}
variable "deletion_protection" {
  type = bool
}
variable "password" {
  type      = string
  sensitive = true
  ephemeral = true
}
variable "password_version" {
  type = number
}
