mock_provider "aws" {}

run "rules_and_a_limit" {
  command = apply
  variables {
    name               = "headwater-test"
    kms_key_arn        = "arn:aws:kms:eu-central-1:111122223333:key/k"
    load_balancer_arns = ["arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/a/1"]
  }
  assert {
    condition     = length(jsondecode(aws_wafv2_web_acl.this.rule_json)) == 4 && length(aws_wafv2_web_acl_association.this) == 1
    error_message = "three groups of AWS's rules and a limit"
  }
  assert {
    condition     = length(aws_wafv2_web_acl_logging_configuration.this.redacted_fields) == 2
    error_message = "keys of callers are not logged"
  }
}
