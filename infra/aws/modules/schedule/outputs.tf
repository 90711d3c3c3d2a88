output "hours_a_week" {
  description = "Hours that instances run."
  value       = 5 * (tonumber(split(" ", var.stop_at)[1]) - tonumber(split(" ", var.start_at)[1]))
}
