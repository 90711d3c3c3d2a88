# A web application firewall in front of a load balancer: AWS's rules and a limit for each address.
locals {
  managed = ["AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet", "AWSManagedRulesAmazonIpReputationList"]
  # As WAF's API has them.
  rules = concat(
    [for index, rule in local.managed : {
      Name             = rule
      Priority         = index
      OverrideAction   = { None = {} }
      Statement        = { ManagedRuleGroupStatement = { VendorName = "AWS", Name = rule } }
      VisibilityConfig = { CloudWatchMetricsEnabled = true, MetricName = rule, SampledRequestsEnabled = true }
    }],
    [{
      Name             = "rate"
      Priority         = 10
      Action           = { Block = {} }
      Statement        = { RateBasedStatement = { AggregateKeyType = "IP", Limit = var.requests_in_five_minutes } }
      VisibilityConfig = { CloudWatchMetricsEnabled = true, MetricName = "rate", SampledRequestsEnabled = true }
    }],
  )
}

resource "aws_wafv2_web_acl" "this" {
  name      = var.name
  scope     = "REGIONAL"
  rule_json = jsonencode(local.rules)
  default_action {
    allow {}
  }
  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = var.name
    sampled_requests_enabled   = true
  }
}

# WAF takes log groups whose name begins so.
resource "aws_cloudwatch_log_group" "this" {
  name              = "aws-waf-logs-${var.name}"
  retention_in_days = 365
  kms_key_id        = var.kms_key_arn
}

resource "aws_wafv2_web_acl_logging_configuration" "this" {
  resource_arn            = aws_wafv2_web_acl.this.arn
  log_destination_configs = [aws_cloudwatch_log_group.this.arn]
  redacted_fields {
    single_header {
      name = "authorization"
    }
  }
  redacted_fields {
    single_header {
      name = "x-api-key"
    }
  }
}

resource "aws_wafv2_web_acl_association" "this" {
  for_each     = toset(var.load_balancer_arns)
  resource_arn = each.key
  web_acl_arn  = aws_wafv2_web_acl.this.arn
}
