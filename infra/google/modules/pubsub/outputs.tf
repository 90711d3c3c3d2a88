output "topics" {
  value = { for name, topic in google_pubsub_topic.this : name => topic.name }
}
