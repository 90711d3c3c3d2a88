mock_provider "google" {}

run "a_private_bucket" {
  command = apply
  variables {
    name    = "headwater-test"
    project = "p"
    region  = "europe-west3"
    labels  = { environment = "test" }
  }
  assert {
    condition     = google_storage_bucket.staging.public_access_prevention == "enforced" && google_storage_bucket.staging.uniform_bucket_level_access
    error_message = "nothing of it is public"
  }
  assert {
    condition     = output.options.stagingLocation == "gs://headwater-test-dataflow-p/staging"
    error_message = "jobs stage their files in the bucket"
  }
}
