variable "name" {
  type = string
}
variable "kms_key_arn" {
  type = string
}
variable "load_balancer_arns" {
  type    = list(string)
  default = []
}
variable "requests_in_five_minutes" {
  description = "Of one address; more are blocked."
  type        = number
  default     = 30000
}
