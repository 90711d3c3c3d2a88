variable "owner" {
  description = "Organisation on GitHub."
  type        = string
}
variable "repository" {
  type    = string
  default = "headwater"
}
variable "visibility" {
  type    = string
  default = "private"
}
variable "approvers" {
  description = "Ids of the teams that approve."
  type        = list(number)
  validation {
    condition     = length(var.approvers) > 0
    error_message = "approvers must name a team: without one, nothing is approved by anyone."
  }
}
variable "required_checks" {
  description = "Jobs that must pass before a merge."
  type        = list(string)
  default     = ["everything", "unit (22)", "unit (24)", "deployment", "secrets", "dependencies"]
}
