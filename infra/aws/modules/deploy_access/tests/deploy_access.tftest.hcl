mock_provider "aws" {
  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::111122223333:oidc-provider/github" }
  }
}

variables {
  name         = "headwater-prod"
  environment  = "infrastructure-prod"
  repository   = "example/headwater"
  region       = "eu-central-1"
  account_id   = "111122223333"
  state_bucket = "headwater-state-111122223333"
  lock_table   = "headwater-state-locks"
  kms_key_arn  = "arn:aws:kms:eu-central-1:111122223333:key/k"
}

run "apply_needs_the_environment" {
  command = apply
  assert {
    condition     = jsondecode(aws_iam_role.this["apply"].assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == ["repo:example/headwater:environment:infrastructure-prod"]
    error_message = "only jobs with the approval of the environment apply"
  }
  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_role_policy.this["plan"].policy).Statement : !contains(flatten([statement.Action]), "s3:PutObject")])
    error_message = "a plan does not write the state"
  }
}

run "a_wrong_repository_is_refused" {
  command = plan
  variables {
    repository = "headwater"
  }
  expect_failures = [var.repository]
}
