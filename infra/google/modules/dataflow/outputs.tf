output "options" {
  description = "Pipeline options of headwater submit."
  value = {
    project             = var.project
    region              = var.region
    stagingLocation     = "gs://${google_storage_bucket.staging.name}/staging"
    tempLocation        = "gs://${google_storage_bucket.staging.name}/temp"
    serviceAccountEmail = google_service_account.worker.email
  }
}
