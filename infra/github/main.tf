# Settings of the repository: what main requires, and whose approval an environment needs.
terraform {
  required_version = ">= 1.11"
  required_providers {
    github = {
      source  = "integrations/github"
      version = "~> 6.0"
    }
  }
}

provider "github" {
  owner = var.owner
}

locals {
  # Rollouts of images use staging and production; Terraform has environments of its own, so that their roles differ.
  environments = {
    staging                = { approval = false }
    production             = { approval = true }
    infrastructure-dev     = { approval = true }
    infrastructure-staging = { approval = true }
    infrastructure-prod    = { approval = true }
  }
}

resource "github_repository" "this" {
  name                   = var.repository
  description            = "Real-time machine learning in TypeScript"
  visibility             = var.visibility
  has_issues             = true
  allow_merge_commit     = false
  allow_squash_merge     = true
  allow_rebase_merge     = true
  allow_auto_merge       = true
  delete_branch_on_merge = true
  vulnerability_alerts   = true
  lifecycle {
    prevent_destroy = true
  }
}

resource "github_branch_protection" "main" {
  repository_id                   = github_repository.this.node_id
  pattern                         = "main"
  enforce_admins                  = true
  require_signed_commits          = true
  required_linear_history         = true
  require_conversation_resolution = true
  allows_force_pushes             = false
  allows_deletions                = false
  required_status_checks {
    strict   = true
    contexts = var.required_checks
  }
  required_pull_request_reviews {
    required_approving_review_count = 1
    dismiss_stale_reviews           = true
    require_last_push_approval      = true
  }
}

resource "github_repository_environment" "this" {
  for_each            = local.environments
  repository          = github_repository.this.name
  environment         = each.key
  can_admins_bypass   = false
  prevent_self_review = each.value.approval
  dynamic "reviewers" {
    for_each = each.value.approval ? [var.approvers] : []
    content {
      teams = reviewers.value
    }
  }
  deployment_branch_policy {
    protected_branches     = startswith(each.key, "infrastructure-")
    custom_branch_policies = !startswith(each.key, "infrastructure-")
  }
}

# Images are rolled out from tags of releases.
resource "github_repository_environment_deployment_policy" "tags" {
  for_each    = toset(["staging", "production"])
  repository  = github_repository.this.name
  environment = github_repository_environment.this[each.key].environment
  tag_pattern = "v*"
}
