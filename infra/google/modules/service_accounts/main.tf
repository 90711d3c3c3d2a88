# An account for each role of the platform, with the roles of Google's that it needs. Pods get them by workload identity, without keys.
resource "google_service_account" "this" {
  for_each     = var.accounts
  account_id   = "${var.name}-${each.key}"
  display_name = "headwater ${each.key}"
}

resource "google_project_iam_member" "this" {
  for_each = merge([for account, grants in var.accounts : { for grant in grants : "${account}-${grant}" => { account = account, role = grant } }]...)
  project  = var.project
  role     = each.value.role
  member   = "serviceAccount:${google_service_account.this[each.value.account].email}"
}

resource "google_service_account_iam_member" "pods" {
  for_each           = google_service_account.this
  service_account_id = each.value.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project}.svc.id.goog[headwater/${each.key}]"
}
