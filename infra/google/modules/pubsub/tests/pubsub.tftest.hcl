mock_provider "google" {}

run "a_subscription_for_each_topic" {
  command = apply
  variables {
    name   = "headwater-test"
    topics = ["events", "clicks"]
  }
  assert {
    condition     = keys(google_pubsub_subscription.this) == ["clicks", "events"]
    error_message = "each topic has a subscription"
  }
  assert {
    condition     = google_pubsub_subscription.this["events"].dead_letter_policy[0].max_delivery_attempts == 10
    error_message = "a message that is not acknowledged becomes a dead letter"
  }
}
