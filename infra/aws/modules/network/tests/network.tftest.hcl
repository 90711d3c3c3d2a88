mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/mock" }
  }
}

variables {
  name                 = "headwater-test"
  region               = "eu-central-1"
  account_id           = "111122223333"
  kms_key_arn          = "arn:aws:kms:eu-central-1:111122223333:key/k"
  cidr                 = "10.1.0.0/16"
  zones                = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  nat_gateway_per_zone = false
}

run "one_nat_gateway" {
  command = plan
  assert {
    condition     = length(aws_nat_gateway.this) == 1
    error_message = "one NAT gateway serves all zones"
  }
  assert {
    condition     = [for zone in var.zones : aws_subnet.private[zone].cidr_block] == ["10.1.64.0/19", "10.1.96.0/19", "10.1.128.0/19"]
    error_message = "private subnets are an eighth each and do not overlap the public ones"
  }
  assert {
    condition     = [for zone in var.zones : aws_subnet.public[zone].cidr_block] == ["10.1.0.0/20", "10.1.16.0/20", "10.1.32.0/20"]
    error_message = "public subnets are a sixteenth each"
  }
}

run "a_nat_gateway_in_each_zone" {
  command = apply
  variables {
    nat_gateway_per_zone = true
  }
  assert {
    condition     = keys(aws_nat_gateway.this) == var.zones && keys(aws_route.nat) == var.zones
    error_message = "each zone has a NAT gateway of its own"
  }
}

run "one_zone_is_refused" {
  command = plan
  variables {
    zones = ["eu-central-1a"]
  }
  expect_failures = [var.zones]
}

run "a_small_network_is_refused" {
  command = plan
  variables {
    cidr = "10.1.0.0/24"
  }
  expect_failures = [var.cidr]
}
