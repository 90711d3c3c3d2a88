output "overlay" {
  description = "What the overlay of Kubernetes needs: npm run overlays."
  value       = module.platform.overlay
}
output "cluster_name" {
  value = module.platform.cluster_name
}
