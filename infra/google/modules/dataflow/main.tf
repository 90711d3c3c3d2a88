# What jobs on Dataflow need: a bucket for staged files, and an account of the workers.
resource "google_storage_bucket" "staging" {
  name                        = "${var.name}-dataflow-${var.project}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  labels                      = var.labels
  versioning {
    enabled = true
  }
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 14
    }
  }
}

resource "google_service_account" "worker" {
  account_id   = "${var.name}-dataflow"
  display_name = "headwater Dataflow workers"
}

resource "google_project_iam_member" "worker" {
  for_each = toset(["roles/dataflow.worker", "roles/pubsub.subscriber", "roles/pubsub.viewer"])
  project  = var.project
  role     = each.key
  member   = "serviceAccount:${google_service_account.worker.email}"
}

resource "google_storage_bucket_iam_member" "worker" {
  bucket = google_storage_bucket.staging.name
  role   = "roles/storage.objectAdmin"
  member = "serviceAccount:${google_service_account.worker.email}"
}
