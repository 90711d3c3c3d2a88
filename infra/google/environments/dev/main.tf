# The broker and the runner on Google Cloud: Pub/Sub, GKE and what Dataflow needs. Stores are not made here.
terraform {
  required_version = ">= 1.11"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.0"
    }
  }
  # tofu init -backend-config="bucket=…": a versioned bucket of your own.
  backend "gcs" {
    prefix = "headwater/dev"
  }
}

locals {
  name   = "headwater-dev"
  region = "europe-west3"
  labels = { project = "headwater", environment = "dev", owner = var.owner, managed-by = "terraform" }
}

provider "google" {
  project        = var.project
  region         = local.region
  default_labels = local.labels
}

module "pubsub" {
  source = "../../modules/pubsub"
  name   = local.name
  topics = var.topics
}

module "kubernetes" {
  source             = "../../modules/kubernetes"
  name               = local.name
  region             = local.region
  cidr               = "10.40.0.0/16"
  control_plane_cidr = "172.16.0.0/28"
  api_cidrs          = var.api_cidrs
  labels             = local.labels
}

module "service_accounts" {
  source  = "../../modules/service_accounts"
  name    = local.name
  project = var.project
  accounts = {
    gateway  = ["roles/pubsub.publisher"]
    pipeline = ["roles/pubsub.subscriber", "roles/pubsub.publisher", "roles/pubsub.viewer"]
    jobs     = ["roles/dataflow.developer"]
  }
}

module "dataflow" {
  source  = "../../modules/dataflow"
  name    = local.name
  project = var.project
  region  = local.region
  labels  = local.labels
}
