# `headwater`'s overlays of Kubernetes are written from this: docs/aws.md.
output "overlay" {
  value = {
    region              = var.region
    kafka_brokers       = module.kafka.brokers
    kafka_secret        = module.kafka.secret_name
    redis_host          = module.redis.host
    redis_is_cluster    = module.redis.is_cluster
    database_host       = module.postgres.host
    domain              = var.domain
    reports_bucket      = local.buckets.reports
    on_call_topic       = module.monitoring.topic_arns["on-call"]
    role_arns           = merge(module.iam.arns, { mlflow = module.registry.role_arn })
    mlflow_host         = module.registry.host
    mlflow_artifacts    = module.registry.artifacts
    load_balancer_group = module.network.load_balancer_security_group_id
  }
}
output "cluster_name" {
  value = module.kubernetes.cluster_name
}
