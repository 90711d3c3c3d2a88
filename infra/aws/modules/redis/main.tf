# ElastiCache: TLS, a password, snapshots, and replicas in other zones that take over.
resource "aws_security_group" "this" {
  name        = "${var.name}-redis"
  description = "Redis, from nodes alone"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-redis" }
}

resource "aws_vpc_security_group_ingress_rule" "nodes" {
  security_group_id            = aws_security_group.this.id
  description                  = "Redis from nodes"
  referenced_security_group_id = var.client_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
  tags                         = { Name = "${var.name}-redis" }
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_elasticache_parameter_group" "this" {
  name   = "${var.name}-redis"
  family = "redis7"
  # Features are not evicted without a word: a store that is full refuses writes, and an alarm comes before that.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
  dynamic "parameter" {
    for_each = var.shards > 1 ? ["yes"] : []
    content {
      name  = "cluster-enabled"
      value = parameter.value
    }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/headwater/${var.name}/redis"
  retention_in_days = 365
  kms_key_id        = var.kms_key_arn
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id       = var.name
  description                = "Online features of ${var.name}"
  engine                     = "redis"
  engine_version             = "7.1"
  node_type                  = var.node_type
  port                       = 6379
  num_node_groups            = var.shards
  replicas_per_node_group    = var.replicas
  automatic_failover_enabled = var.replicas > 0
  multi_az_enabled           = var.replicas > 0
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
  parameter_group_name       = aws_elasticache_parameter_group.this.name
  at_rest_encryption_enabled = true
  kms_key_id                 = var.kms_key_arn
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  auth_token_wo              = var.password
  auth_token_wo_version      = var.password_version
  auto_minor_version_upgrade = true
  snapshot_retention_limit   = var.snapshot_days
  snapshot_window            = "01:00-02:00"
  maintenance_window         = "sun:03:00-sun:04:00"
  log_delivery_configuration {
    destination      = aws_cloudwatch_log_group.this.name
    destination_type = "cloudwatch-logs"
    log_format       = "json"
    log_type         = "slow-log"
  }
  lifecycle {
    precondition {
      condition     = var.shards == 1 || var.replicas > 0
      error_message = "a cluster of shards needs replicas: set replicas to 1 or more."
    }
  }
}
