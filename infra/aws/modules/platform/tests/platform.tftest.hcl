mock_provider "aws" {}

run "another_environment_is_refused" {
  command = plan
  variables {
    environment        = "production"
    region             = "eu-central-1"
    zones              = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
    cidr               = "10.1.0.0/16"
    domain             = "example.com"
    tags               = {}
    api_cidrs          = []
    survives_a_zone    = true
    backup_days        = 7
    keep_events_days   = 30
    node_types         = ["m7i.large"]
    nodes              = { min = 2, max = 4 }
    kafka_type         = "kafka.m7g.large"
    kafka_disk_gib     = 100
    postgres_class     = "db.m7g.large"
    postgres_disk_gib  = 100
    mlflow_class       = "db.m7g.large"
    redis_type         = "cache.m7g.large"
    redis_replicas     = 1
    subscriptions      = { on-call = [], data-quality = [], model = [], infrastructure = [], cost = [] }
    monthly_budget_usd = 100
    database_password  = "a-password-of-a-test"
    redis_password     = "a-password-of-a-test"
    kafka_password     = "a-password-of-a-test"
  }
  expect_failures = [var.environment]
}
