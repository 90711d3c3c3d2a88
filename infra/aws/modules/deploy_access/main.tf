# Roles of GitHub Actions, without keys: one that plans, for pull requests, and one that applies, for jobs of the environments' own approval.
resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

locals {
  state = [
    { Sid = "State", Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject"], Resource = "arn:aws:s3:::${var.state_bucket}/*" },
    { Sid = "ListState", Effect = "Allow", Action = "s3:ListBucket", Resource = "arn:aws:s3:::${var.state_bucket}" },
    { Sid = "Lock", Effect = "Allow", Action = ["dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"], Resource = "arn:aws:dynamodb:${var.region}:${var.account_id}:table/${var.lock_table}" },
    { Sid = "StateKey", Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = var.kms_key_arn },
  ]
  # A plan reads the state and locks it, and changes nothing.
  plan_state = [for statement in local.state : merge(statement, statement.Sid == "State" ? { Action = ["s3:GetObject"] } : {}, statement.Sid == "StateKey" ? { Action = ["kms:Decrypt"] } : {})]
  roles = {
    plan  = { subjects = ["repo:${var.repository}:pull_request", "repo:${var.repository}:ref:refs/heads/main"], statements = local.plan_state }
    apply = { subjects = ["repo:${var.repository}:environment:${var.environment}"], statements = concat(local.state, local.apply) }
  }
  services = ["budgets", "cloudwatch", "ec2", "eks", "elasticache", "kafka", "kms", "logs", "rds", "s3", "scheduler", "secretsmanager", "sns", "wafv2", "application-autoscaling"]
  apply = [
    {
      # Terraform makes, changes and deletes all of these; the boundary is the region.
      Sid       = "Services"
      Effect    = "Allow"
      Action    = [for service in local.services : "${service}:*"]
      Resource  = "*"
      Condition = { StringEquals = { "aws:RequestedRegion" = [var.region, "us-east-1"] } }
    },
    {
      Sid    = "RolesOfThePlatform"
      Effect = "Allow"
      Action = [
        "iam:CreateRole", "iam:DeleteRole", "iam:GetRole", "iam:UpdateRole", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy",
        "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:GetRolePolicy", "iam:ListRolePolicies", "iam:ListAttachedRolePolicies",
        "iam:AttachRolePolicy", "iam:DetachRolePolicy", "iam:ListInstanceProfilesForRole",
      ]
      Resource = "arn:aws:iam::${var.account_id}:role/${var.name}-*"
    },
    {
      Sid       = "PassRolesOfThePlatform"
      Effect    = "Allow"
      Action    = "iam:PassRole"
      Resource  = "arn:aws:iam::${var.account_id}:role/${var.name}-*"
      Condition = { StringEquals = { "iam:PassedToService" = ["eks.amazonaws.com", "ec2.amazonaws.com", "monitoring.rds.amazonaws.com", "scheduler.amazonaws.com", "vpc-flow-logs.amazonaws.com"] } }
    },
    {
      Sid      = "IssuerOfTheCluster"
      Effect   = "Allow"
      Action   = ["iam:CreateOpenIDConnectProvider", "iam:GetOpenIDConnectProvider", "iam:TagOpenIDConnectProvider", "iam:DeleteOpenIDConnectProvider"]
      Resource = "arn:aws:iam::${var.account_id}:oidc-provider/oidc.eks.${var.region}.amazonaws.com/*"
    },
    {
      Sid       = "RolesOfServices"
      Effect    = "Allow"
      Action    = "iam:CreateServiceLinkedRole"
      Resource  = "arn:aws:iam::${var.account_id}:role/aws-service-role/*"
      Condition = { StringLike = { "iam:AWSServiceName" = ["eks*.amazonaws.com", "elasticache.amazonaws.com", "kafka.amazonaws.com", "rds.amazonaws.com", "*.application-autoscaling.amazonaws.com"] } }
    },
    {
      # What would let it give itself more, or hide what it did.
      Sid    = "Never"
      Effect = "Deny"
      Action = ["iam:*Role", "iam:*RolePolicy", "iam:UpdateAssumeRolePolicy"]
      Resource = [
        "arn:aws:iam::${var.account_id}:role/${var.name}-deploy-plan",
        "arn:aws:iam::${var.account_id}:role/${var.name}-deploy-apply",
      ]
    },
  ]
}

resource "aws_iam_role" "this" {
  for_each             = local.roles
  name                 = "${var.name}-deploy-${each.key}"
  max_session_duration = 7200
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = aws_iam_openid_connect_provider.github.arn }
      Condition = { StringEquals = {
        "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
        "token.actions.githubusercontent.com:sub" = each.value.subjects
      } }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = local.roles
  name     = "needs"
  role     = aws_iam_role.this[each.key].name
  policy   = jsonencode({ Version = "2012-10-17", Statement = each.value.statements })
}

# A plan reads what is there. It does not read secrets or objects.
resource "aws_iam_role_policy_attachment" "plan" {
  role       = aws_iam_role.this["plan"].name
  policy_arn = "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess"
}

resource "aws_iam_role_policy_attachment" "plan_details" {
  role       = aws_iam_role.this["plan"].name
  policy_arn = "arn:aws:iam::aws:policy/SecurityAudit"
}
