variable "name" {
  type = string
}
variable "region" {
  type = string
}
variable "vpc_id" {
  type = string
}
variable "cidr" {
  description = "Addresses that may call the endpoints."
  type        = string
}
variable "subnet_ids" {
  type = list(string)
}
variable "services" {
  type    = list(string)
  default = ["ecr.api", "ecr.dkr", "logs", "monitoring", "secretsmanager", "sns", "sts"]
}
