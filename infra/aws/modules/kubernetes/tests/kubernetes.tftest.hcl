mock_provider "aws" {
  mock_resource "aws_eks_cluster" {
    defaults = {
      identity   = [{ oidc = [{ issuer = "https://oidc.eks.eu-central-1.amazonaws.com/id/AB" }] }]
      vpc_config = { cluster_security_group_id = "sg-nodes" }
    }
  }
}

variables {
  name                = "headwater-test"
  kms_key_arn         = "arn:aws:kms:eu-central-1:111122223333:key/k"
  subnet_ids          = ["subnet-a", "subnet-b"]
  api_cidrs           = []
  instance_types      = ["m7i.large"]
  nodes               = { min = 2, max = 4 }
  deletion_protection = true
  tags                = { environment = "test" }
}

run "on_demand_alone" {
  command = apply
  assert {
    condition     = keys(aws_eks_node_group.this) == ["steady"] && aws_eks_node_group.this["steady"].capacity_type == "ON_DEMAND"
    error_message = "without spot nodes there is one group, on demand"
  }
  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_public_access == false
    error_message = "the API is private unless networks are named"
  }
  assert {
    condition     = output.oidc_issuer == "oidc.eks.eu-central-1.amazonaws.com/id/AB"
    error_message = "the issuer has no scheme, as conditions of roles need it"
  }
  assert {
    condition     = aws_launch_template.node.metadata_options[0].http_tokens == "required"
    error_message = "nodes require tokens for instance metadata"
  }
}

run "with_spot" {
  command = apply
  variables {
    spot_nodes = { min = 0, max = 6 }
  }
  assert {
    condition     = aws_eks_node_group.this["spot"].capacity_type == "SPOT" && length(aws_eks_node_group.this["spot"].instance_types) > 1
    error_message = "spot nodes are of several types"
  }
}

run "the_world_is_refused" {
  command = plan
  variables {
    api_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [var.api_cidrs]
}
