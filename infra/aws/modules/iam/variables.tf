variable "name" {
  type = string
}
variable "oidc" {
  description = "The cluster's provider and issuer, and the namespace of the service accounts."
  type        = object({ provider_arn = string, issuer = string, namespace = string })
}
variable "roles" {
  description = "By name: the service account and what it may do."
  type = map(object({
    service_account = string
    statements = list(object({
      sid       = string
      actions   = list(string)
      resources = list(string)
      condition = optional(map(map(string)))
    }))
  }))
  validation {
    condition     = alltrue(flatten([for role in var.roles : [for statement in role.statements : [for action in statement.actions : !strcontains(action, "*")]]]))
    error_message = "actions must be named: a wildcard allows what nothing here needs."
  }
}
