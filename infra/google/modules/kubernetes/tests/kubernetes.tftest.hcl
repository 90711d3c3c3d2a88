mock_provider "google" {}

variables {
  name               = "headwater-test"
  region             = "europe-west3"
  cidr               = "10.40.0.0/16"
  control_plane_cidr = "172.16.0.0/28"
  labels             = { environment = "test" }
}

run "private" {
  command = apply
  assert {
    condition     = google_container_cluster.this.private_cluster_config[0].enable_private_nodes && google_container_cluster.this.private_cluster_config[0].enable_private_endpoint
    error_message = "nodes and the API are private unless networks are named"
  }
  assert {
    condition     = google_compute_subnetwork.this.ip_cidr_range == "10.40.0.0/20"
    error_message = "nodes and pods have ranges of their own"
  }
}

run "a_large_control_plane_is_refused" {
  command = plan
  variables {
    control_plane_cidr = "172.16.0.0/24"
  }
  expect_failures = [var.control_plane_cidr]
}
