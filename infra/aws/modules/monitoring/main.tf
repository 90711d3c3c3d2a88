# Topics for each kind of alert, alarms of what AWS runs, and a budget. Alerts of the platform itself are Prometheus' (monitoring/).
locals {
  alarms = merge(
    { for database in var.databases : "${database}-cpu" => {
      namespace  = "AWS/RDS", metric = "CPUUtilization", statistic = "Average", above = true, threshold = 85, periods = 3
      dimensions = { DBInstanceIdentifier = database }, what = "PostgreSQL ${database} is busy"
    } },
    { for database in var.databases : "${database}-disk" => {
      namespace  = "AWS/RDS", metric = "FreeStorageSpace", statistic = "Minimum", above = false, threshold = 5 * 1024 * 1024 * 1024, periods = 1
      dimensions = { DBInstanceIdentifier = database }, what = "PostgreSQL ${database} has less than 5 GiB left"
    } },
    {
      kafka-disk = {
        namespace  = "AWS/Kafka", metric = "KafkaDataLogsDiskUsed", statistic = "Maximum", above = true, threshold = 85, periods = 1
        dimensions = { "Cluster Name" = var.kafka_cluster }, what = "A broker's disk is nearly full"
      }
      kafka-offline = {
        namespace  = "AWS/Kafka", metric = "OfflinePartitionsCount", statistic = "Maximum", above = true, threshold = 0, periods = 1
        dimensions = { "Cluster Name" = var.kafka_cluster }, what = "Partitions have no leader"
      }
      redis-memory = {
        namespace  = "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", statistic = "Maximum", above = true, threshold = 80, periods = 3
        dimensions = { ReplicationGroupId = var.redis_group }, what = "Redis is nearly full; at 100 % it refuses writes"
      }
    },
  )
}

resource "aws_sns_topic" "this" {
  for_each          = var.subscriptions
  name              = "${var.name}-${each.key}"
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sns_topic_policy" "this" {
  for_each = aws_sns_topic.this
  arn      = each.value.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AlarmsAndBudgetsOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }
      Action    = "sns:Publish"
      Resource  = "arn:aws:sns:${var.region}:${var.account_id}:${var.name}-${each.key}"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_sns_topic_subscription" "this" {
  for_each  = merge([for topic, addresses in var.subscriptions : { for address in addresses : "${topic}-${address}" => { topic = topic, address = address } }]...)
  topic_arn = aws_sns_topic.this[each.value.topic].arn
  protocol  = "email"
  endpoint  = each.value.address
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.what
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.above ? "GreaterThanThreshold" : "LessThanThreshold"
  threshold           = each.value.threshold
  period              = 300
  evaluation_periods  = each.value.periods
  treat_missing_data  = var.stops_at_night ? "notBreaching" : "breaching"
  alarm_actions       = [aws_sns_topic.this["infrastructure"].arn]
  ok_actions          = [aws_sns_topic.this["infrastructure"].arn]
}

resource "aws_budgets_budget" "this" {
  name         = var.name
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"
  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:environment$%s", var.environment)]
  }
  dynamic "notification" {
    for_each = [
      { type = "ACTUAL", percent = 50 },
      { type = "ACTUAL", percent = 80 },
      { type = "ACTUAL", percent = 100 },
      { type = "FORECASTED", percent = 100 },
    ]
    content {
      notification_type         = notification.value.type
      comparison_operator       = "GREATER_THAN"
      threshold                 = notification.value.percent
      threshold_type            = "PERCENTAGE"
      subscriber_sns_topic_arns = [aws_sns_topic.this["cost"].arn]
    }
  }
}
