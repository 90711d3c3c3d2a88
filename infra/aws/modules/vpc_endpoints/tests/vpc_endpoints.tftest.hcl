mock_provider "aws" {}

run "one_for_each_service" {
  command = apply
  variables {
    name       = "headwater-test"
    region     = "eu-central-1"
    vpc_id     = "vpc-1"
    cidr       = "10.1.0.0/16"
    subnet_ids = ["subnet-a", "subnet-b"]
    services   = ["sts", "logs"]
  }
  assert {
    condition     = aws_vpc_endpoint.this["sts"].service_name == "com.amazonaws.eu-central-1.sts" && length(output.ids) == 2
    error_message = "each service has an endpoint"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.https.cidr_ipv4 == "10.1.0.0/16"
    error_message = "only the network calls them"
  }
}
