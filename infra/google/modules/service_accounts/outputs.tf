output "emails" {
  value = { for name, account in google_service_account.this : name => account.email }
}
