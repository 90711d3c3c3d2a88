# Yours to change.
account_id  = "111122223333"
domain      = "dev.example.com"
owner       = "platform"
cost_center = "machine-learning"
subscriptions = {
  on-call        = []
  data-quality   = []
  model          = []
  infrastructure = []
  cost           = []
}
