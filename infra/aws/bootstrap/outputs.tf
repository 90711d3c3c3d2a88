output "state_bucket" {
  value = module.state.bucket
}
output "lock_table" {
  value = module.state.lock_table
}
output "role_arns" {
  description = "Variables AWS_PLAN_ROLE and AWS_APPLY_ROLE of GitHub's environments."
  value       = module.deploy_access.role_arns
}
