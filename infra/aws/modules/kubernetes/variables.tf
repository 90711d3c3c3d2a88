variable "name" {
  type = string
}
variable "kubernetes_version" {
  type    = string
  default = "1.34"
}
variable "kms_key_arn" {
  description = "Key of secrets and logs."
  type        = string
}
variable "subnet_ids" {
  type = list(string)
}
variable "api_cidrs" {
  description = "Addresses that reach the API of Kubernetes from the internet; none for the network alone."
  type        = list(string)
  validation {
    condition     = !contains(var.api_cidrs, "0.0.0.0/0")
    error_message = "api_cidrs must not be the whole internet: name the networks of your offices and runners."
  }
}
variable "administrator_role_arns" {
  description = "IAM roles that administer the cluster."
  type        = list(string)
  default     = []
}
variable "instance_types" {
  type = list(string)
}
variable "nodes" {
  description = "On-demand nodes."
  type        = object({ min = number, max = number })
}
variable "spot_instance_types" {
  description = "Several types, so that one that is short is replaced by another."
  type        = list(string)
  default     = ["m7i.large", "m7a.large", "m6i.large", "m6a.large"]
}
variable "spot_nodes" {
  description = "Nodes of spare capacity, which AWS takes back with two minutes' notice; null for none."
  type        = object({ min = number, max = number })
  default     = null
}
variable "disk_gib" {
  type    = number
  default = 50
}
variable "deletion_protection" {
  type = bool
}
variable "tags" {
  description = "Tags of instances and volumes, which the provider's default tags do not reach."
  type        = map(string)
}
