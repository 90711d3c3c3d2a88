output "cluster_name" {
  value = aws_eks_cluster.this.name
}
output "node_security_group_id" {
  description = "Security group of nodes and pods."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}
output "oidc_provider_arn" {
  value = aws_iam_openid_connect_provider.this.arn
}
output "oidc_issuer" {
  description = "Without https://."
  value       = local.oidc_issuer
}
output "node_groups" {
  description = "Smallest and largest sizes by name."
  value       = { for name, group in local.node_groups : name => { min = group.min, max = group.max } }
}
