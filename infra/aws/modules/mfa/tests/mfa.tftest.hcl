mock_provider "aws" {
  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::111122223333:policy/mock" }
  }
}

run "denied_without_it" {
  command = apply
  variables {
    name = "headwater-test"
  }
  assert {
    condition     = jsondecode(aws_iam_policy.this.policy).Statement[0].Effect == "Deny"
    error_message = "the policy denies"
  }
}
