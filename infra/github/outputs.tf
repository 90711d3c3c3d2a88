output "environments" {
  value = keys(github_repository_environment.this)
}
