output "bucket" {
  value = module.bucket.bucket
}
output "lock_table" {
  value = aws_dynamodb_table.locks.name
}
