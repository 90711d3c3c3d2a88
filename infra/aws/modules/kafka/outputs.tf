output "brokers" {
  description = "host:port, comma-separated, for SASL over TLS."
  value       = aws_msk_cluster.this.bootstrap_brokers_sasl_scram
}
output "cluster_name" {
  value = aws_msk_cluster.this.cluster_name
}
output "secret_name" {
  description = "Secret with username and password."
  value       = aws_secretsmanager_secret.this.name
}
