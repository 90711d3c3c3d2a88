mock_provider "aws" {}

run "the_key_is_renewed" {
  command = plan
  variables {
    name       = "headwater-test"
    region     = "eu-central-1"
    account_id = "111122223333"
  }
  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "the key is renewed every year"
  }
  assert {
    condition     = alltrue([for statement in jsondecode(aws_kms_key.this.policy).Statement : can(statement.Condition) || statement.Sid == "AccountManagesKey"])
    error_message = "services use it for this account alone"
  }
}
