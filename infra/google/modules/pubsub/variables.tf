variable "name" {
  type = string
}
variable "topics" {
  type = list(string)
}
variable "kms_key_name" {
  description = "Key of the messages; null for Google's own."
  type        = string
  default     = null
}
