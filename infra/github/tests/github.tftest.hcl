mock_provider "github" {}

variables {
  owner     = "example"
  approvers = [1]
}

run "main_is_protected" {
  command = apply
  assert {
    condition     = github_branch_protection.main.enforce_admins && !github_branch_protection.main.allows_force_pushes
    error_message = "administrators have no way round it"
  }
  assert {
    condition     = length(one(github_repository_environment.this["infrastructure-prod"].reviewers).teams) == 1 && length(github_repository_environment.this["staging"].reviewers) == 0
    error_message = "production needs an approval, staging does not"
  }
}

run "no_approvers_are_refused" {
  command = plan
  variables {
    approvers = []
  }
  expect_failures = [var.approvers]
}
