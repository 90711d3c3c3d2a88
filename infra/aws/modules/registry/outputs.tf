output "host" {
  value = module.database.host
}
output "database_identifier" {
  value = module.database.identifier
}
output "role_arn" {
  value = module.role.arns["mlflow"]
}
output "artifacts" {
  description = "MLflow's --artifacts-destination."
  value       = "s3://${var.bucket}/artifacts"
}
