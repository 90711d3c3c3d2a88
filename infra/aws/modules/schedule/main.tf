# Stops what costs by the hour at night and at the weekend: databases stop, node groups go down to no node. Kafka and Redis cannot be stopped.
locals {
  expressions = { stop = "cron(${var.stop_at} ? * MON-FRI *)", start = "cron(${var.start_at} ? * MON-FRI *)" }
  databases = { for pair in setproduct(keys(local.expressions), keys(var.databases)) : "${pair[0]}-${pair[1]}" => {
    when   = pair[0]
    target = pair[0] == "stop" ? "stopDBInstance" : "startDBInstance"
    input  = { DbInstanceIdentifier = pair[1] }
  } }
  node_groups = { for pair in setproduct(keys(local.expressions), keys(var.node_groups)) : "${pair[0]}-${pair[1]}" => {
    when   = pair[0]
    target = "updateNodegroupConfig"
    input = {
      ClusterName   = var.cluster_name
      NodegroupName = pair[1]
      ScalingConfig = {
        MinSize     = pair[0] == "stop" ? 0 : var.node_groups[pair[1]].min
        DesiredSize = pair[0] == "stop" ? 0 : var.node_groups[pair[1]].min
        MaxSize     = var.node_groups[pair[1]].max
      }
    }
  } }
}

resource "aws_iam_role" "this" {
  name = "${var.name}-schedule"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "stop-and-start"
  role = aws_iam_role.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Databases"
        Effect   = "Allow"
        Action   = ["rds:StopDBInstance", "rds:StartDBInstance"]
        Resource = [for database in keys(var.databases) : "arn:aws:rds:${var.region}:${var.account_id}:db:${database}"]
      },
      {
        Sid      = "NodeGroups"
        Effect   = "Allow"
        Action   = "eks:UpdateNodegroupConfig"
        Resource = [for group in keys(var.node_groups) : "arn:aws:eks:${var.region}:${var.account_id}:nodegroup/${var.cluster_name}/${group}/*"]
      },
    ]
  })
}

resource "aws_scheduler_schedule_group" "this" {
  name = var.name
}

resource "aws_scheduler_schedule" "this" {
  for_each                     = merge(local.databases, local.node_groups)
  name                         = "${var.name}-${each.key}"
  group_name                   = aws_scheduler_schedule_group.this.name
  schedule_expression          = local.expressions[each.value.when]
  schedule_expression_timezone = var.time_zone
  kms_key_arn                  = var.kms_key_arn
  flexible_time_window {
    mode = "OFF"
  }
  target {
    arn      = "arn:aws:scheduler:::aws-sdk:${each.value.target == "updateNodegroupConfig" ? "eks" : "rds"}:${each.value.target}"
    role_arn = aws_iam_role.this.arn
    input    = jsonencode(each.value.input)
    retry_policy {
      maximum_retry_attempts = 5
    }
  }
}
