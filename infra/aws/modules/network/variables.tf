variable "name" {
  description = "Prefix of all names, for example headwater-dev."
  type        = string
}
variable "region" {
  type = string
}
variable "account_id" {
  type = string
}
variable "kms_key_arn" {
  description = "Key of the flow logs."
  type        = string
}
variable "cidr" {
  description = "Addresses of the VPC. Public subnets take the first eighths, private ones an eighth each, so a /16 has 8,190 addresses for pods in a zone."
  type        = string
  validation {
    condition     = can(cidrhost(var.cidr, 0)) && tonumber(split("/", var.cidr)[1]) <= 20
    error_message = "cidr must be a CIDR block of /20 or larger."
  }
}
variable "zones" {
  description = "Availability zones, two to four."
  type        = list(string)
  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 4
    error_message = "zones must be two to four availability zones."
  }
}
variable "nat_gateway_per_zone" {
  description = "A NAT gateway in each zone instead of one."
  type        = bool
}
