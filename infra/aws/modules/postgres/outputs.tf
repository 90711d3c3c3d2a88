output "host" {
  value = aws_db_instance.this.address
}
output "identifier" {
  value = aws_db_instance.this.identifier
}
output "arn" {
  value = aws_db_instance.this.arn
}
