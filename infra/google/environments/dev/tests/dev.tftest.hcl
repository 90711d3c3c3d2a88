mock_provider "google" {}

run "whole" {
  command = apply
  assert {
    condition     = output.topics["events"] == "headwater-dev-events"
    error_message = "topics have the environment's prefix"
  }
  assert {
    condition     = output.dataflow.tempLocation == "gs://headwater-dev-dataflow-headwater-dev/temp"
    error_message = "options of jobs on Dataflow"
  }
}
