output "vpc_id" {
  value = aws_vpc.this.id
}
output "private_subnet_ids" {
  value = [for zone in var.zones : aws_subnet.private[zone].id]
}
output "public_subnet_ids" {
  value = [for zone in var.zones : aws_subnet.public[zone].id]
}
output "load_balancer_security_group_id" {
  value = aws_security_group.load_balancer.id
}
