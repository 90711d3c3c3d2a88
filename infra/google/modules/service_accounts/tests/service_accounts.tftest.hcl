mock_provider "google" {}

variables {
  name     = "headwater-test"
  project  = "p"
  accounts = { gateway = ["roles/pubsub.publisher"], pipeline = ["roles/pubsub.subscriber", "roles/pubsub.viewer"] }
}

run "pods_without_keys" {
  command = apply
  assert {
    condition     = google_service_account_iam_member.pods["gateway"].member == "serviceAccount:p.svc.id.goog[headwater/gateway]"
    error_message = "pods of the service account use it"
  }
  assert {
    condition     = length(google_project_iam_member.this) == 3
    error_message = "each account has its roles"
  }
}

run "basic_roles_are_refused" {
  command = plan
  variables {
    accounts = { gateway = ["roles/editor"] }
  }
  expect_failures = [var.accounts]
}
