variable "name" {
  type = string
}
variable "project" {
  type = string
}
variable "accounts" {
  description = "Roles by account."
  type        = map(list(string))
  validation {
    condition     = alltrue(flatten([for grants in var.accounts : [for grant in grants : !contains(["roles/owner", "roles/editor", "roles/viewer"], grant)]]))
    error_message = "accounts must not have basic roles (owner, editor, viewer): they reach all of the project."
  }
}
