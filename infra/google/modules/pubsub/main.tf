# Topics with a subscription each, and a topic of dead letters.
resource "google_pubsub_topic" "dead_letters" {
  name                       = "${var.name}-dead-letters"
  kms_key_name               = var.kms_key_name
  message_retention_duration = "604800s"
}

resource "google_pubsub_subscription" "dead_letters" {
  name                       = "${var.name}-dead-letters"
  topic                      = google_pubsub_topic.dead_letters.id
  message_retention_duration = "604800s"
  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_topic" "this" {
  for_each                   = toset(var.topics)
  name                       = "${var.name}-${each.key}"
  kms_key_name               = var.kms_key_name
  message_retention_duration = "604800s"
}

resource "google_pubsub_subscription" "this" {
  for_each                     = google_pubsub_topic.this
  name                         = each.value.name
  topic                        = each.value.id
  ack_deadline_seconds         = 60
  enable_message_ordering      = true
  enable_exactly_once_delivery = true
  message_retention_duration   = "604800s"
  expiration_policy {
    ttl = ""
  }
  retry_policy {
    minimum_backoff = "1s"
    maximum_backoff = "60s"
  }
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = 10
  }
}
