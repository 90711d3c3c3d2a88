mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/mock" }
  }
}

variables {
  name         = "headwater-test"
  region       = "eu-central-1"
  account_id   = "111122223333"
  kms_key_arn  = "arn:aws:kms:eu-central-1:111122223333:key/k"
  databases    = { headwater-test = true }
  cluster_name = "headwater-test"
  node_groups  = { steady = { min = 2, max = 4 } }
}

run "down_at_night" {
  command = apply
  assert {
    condition     = keys(aws_scheduler_schedule.this) == ["start-headwater-test", "start-steady", "stop-headwater-test", "stop-steady"]
    error_message = "each thing has a stop and a start"
  }
  assert {
    condition     = jsondecode(one(aws_scheduler_schedule.this["stop-steady"].target).input).ScalingConfig.MinSize == 0
    error_message = "no node is left at night"
  }
  assert {
    condition     = jsondecode(one(aws_scheduler_schedule.this["start-steady"].target).input).ScalingConfig.MinSize == 2
    error_message = "the nodes come back in the morning"
  }
  assert {
    condition     = aws_scheduler_schedule.this["stop-steady"].schedule_expression == "cron(0 20 ? * MON-FRI *)"
    error_message = "it stops at eight in the evening"
  }
  assert {
    condition     = output.hours_a_week == 65
    error_message = "65 of 168 hours a week"
  }
}
