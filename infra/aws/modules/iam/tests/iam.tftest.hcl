mock_provider "aws" {}

variables {
  name = "headwater-test"
  oidc = { provider_arn = "arn:aws:iam::111122223333:oidc-provider/o", issuer = "o", namespace = "headwater" }
  roles = {
    jobs = {
      service_account = "jobs"
      statements      = [{ sid = "Reports", actions = ["s3:PutObject"], resources = ["arn:aws:s3:::headwater-test-reports/*"] }]
    }
  }
}

run "for_one_service_account" {
  command = plan
  assert {
    condition     = jsondecode(aws_iam_role.this["jobs"].assume_role_policy).Statement[0].Condition.StringEquals["o:sub"] == "system:serviceaccount:headwater:jobs"
    error_message = "only pods of the service account get the role"
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.this["jobs"].policy).Statement[0].Action == ["s3:PutObject"]
    error_message = "it may do what is named"
  }
}

run "wildcards_are_refused" {
  command = plan
  variables {
    roles = {
      jobs = { service_account = "jobs", statements = [{ sid = "All", actions = ["s3:*"], resources = ["*"] }] }
    }
  }
  expect_failures = [var.roles]
}
