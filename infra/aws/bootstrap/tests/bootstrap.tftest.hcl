mock_provider "aws" {
  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::111122223333:oidc-provider/github" }
  }
}

run "names_that_environments_use" {
  command = apply
  variables {
    environment = "dev"
    account_id  = "111122223333"
    repository  = "example/headwater"
  }
  assert {
    condition     = output.state_bucket == "headwater-dev-state-111122223333" && output.lock_table == "headwater-dev-state-locks"
    error_message = "environments name this bucket and this table in their backend"
  }
}
