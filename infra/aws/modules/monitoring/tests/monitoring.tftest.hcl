mock_provider "aws" {
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:111122223333:mock" }
  }
}

variables {
  name               = "headwater-test"
  environment        = "test"
  region             = "eu-central-1"
  account_id         = "111122223333"
  kms_key_arn        = "arn:aws:kms:eu-central-1:111122223333:key/k"
  subscriptions      = { on-call = ["on-call@example.com"], data-quality = [], model = [], infrastructure = [], cost = ["cost@example.com"] }
  databases          = ["headwater-test", "headwater-test-mlflow"]
  kafka_cluster      = "headwater-test"
  redis_group        = "headwater-test"
  stops_at_night     = true
  monthly_budget_usd = 900
}

run "topics_alarms_budget" {
  command = apply
  assert {
    condition     = length(aws_sns_topic.this) == 5 && length(aws_sns_topic_subscription.this) == 2
    error_message = "a topic for each kind of alert"
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 7
    error_message = "two alarms a database, two of Kafka, one of Redis"
  }
  assert {
    condition     = aws_budgets_budget.this.limit_amount == "900" && length(aws_budgets_budget.this.notification) == 4
    error_message = "the budget reports at half, at four fifths, when it is spent, and when it will be"
  }
  assert {
    condition     = contains(one(aws_budgets_budget.this.cost_filter).values, "user:environment$test")
    error_message = "the budget counts what has the environment's tag"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["kafka-offline"].treat_missing_data == "notBreaching"
    error_message = "what stops at night raises no alarm at night"
  }
}

run "a_missing_topic_is_refused" {
  command = plan
  variables {
    subscriptions = { on-call = [] }
  }
  expect_failures = [var.subscriptions]
}
