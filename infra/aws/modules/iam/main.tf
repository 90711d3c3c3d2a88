# A role for each service account, with the statements it needs. Only pods of that service account get it.
resource "aws_iam_role" "this" {
  for_each             = var.roles
  name                 = "${var.name}-${each.key}"
  max_session_duration = 3600
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = var.oidc.provider_arn }
      Condition = { StringEquals = {
        "${var.oidc.issuer}:sub" = "system:serviceaccount:${var.oidc.namespace}:${each.value.service_account}"
        "${var.oidc.issuer}:aud" = "sts.amazonaws.com"
      } }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = var.roles
  name     = "needs"
  role     = aws_iam_role.this[each.key].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [for statement in each.value.statements : merge(
      { Sid = statement.sid, Effect = "Allow", Action = statement.actions, Resource = statement.resources },
      statement.condition == null ? {} : { Condition = statement.condition },
    )]
  })
}
