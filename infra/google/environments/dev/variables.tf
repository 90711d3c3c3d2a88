variable "project" {
  type = string
}
variable "owner" {
  type    = string
  default = "platform"
}
variable "topics" {
  type    = list(string)
  default = ["events"]
}
variable "api_cidrs" {
  type    = list(string)
  default = []
}
