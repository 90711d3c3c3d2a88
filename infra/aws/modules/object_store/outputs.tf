output "buckets" {
  description = "Names by what they hold."
  value       = merge({ for name, bucket in module.data : name => bucket.bucket }, { logs = module.logs.bucket })
}
