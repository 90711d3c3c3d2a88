output "host" {
  description = "Where clients begin: the primary, or the configuration of a cluster."
  value       = var.shards > 1 ? aws_elasticache_replication_group.this.configuration_endpoint_address : aws_elasticache_replication_group.this.primary_endpoint_address
}
output "is_cluster" {
  value = var.shards > 1
}
output "id" {
  value = aws_elasticache_replication_group.this.replication_group_id
}
