output "topics" {
  value = module.pubsub.topics
}
output "service_accounts" {
  value = module.service_accounts.emails
}
output "dataflow" {
  value = module.dataflow.options
}
