variable "name" {
  type = string
}
variable "region" {
  type = string
}
variable "cidr" {
  description = "Addresses of the network; the upper half is the pods'."
  type        = string
}
variable "control_plane_cidr" {
  description = "A /28 outside of cidr."
  type        = string
  validation {
    condition     = endswith(var.control_plane_cidr, "/28")
    error_message = "control_plane_cidr must be a /28."
  }
}
variable "api_cidrs" {
  description = "Networks that reach the API of Kubernetes."
  type        = list(string)
  default     = []
}
variable "deletion_protection" {
  type    = bool
  default = true
}
variable "labels" {
  type = map(string)
}
