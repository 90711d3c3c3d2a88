# Yours to change.
project = "headwater-dev"
