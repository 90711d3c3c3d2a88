output "cluster_name" {
  value = google_container_cluster.this.name
}
output "network" {
  value = google_compute_network.this.name
}
output "subnetwork" {
  value = google_compute_subnetwork.this.self_link
}
