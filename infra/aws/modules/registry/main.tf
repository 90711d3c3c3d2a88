# MLflow's own: a database, a bucket of artifacts (object_store's "models") and the role of its pods.
module "database" {
  source                   = "../postgres"
  name                     = "${var.name}-mlflow"
  vpc_id                   = var.vpc_id
  subnet_ids               = var.subnet_ids
  client_security_group_id = var.client_security_group_id
  kms_key_arn              = var.kms_key_arn
  instance_class           = var.instance_class
  database                 = "mlflow"
  disk_gib                 = 20
  max_disk_gib             = 200
  multi_az                 = var.multi_az
  backup_days              = var.backup_days
  deletion_protection      = var.deletion_protection
  password                 = var.password
  password_version         = var.password_version
}

module "role" {
  source = "../iam"
  name   = var.name
  oidc   = var.oidc
  roles = {
    mlflow = {
      service_account = "mlflow"
      statements = [
        { sid = "Artifacts", actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], resources = ["arn:aws:s3:::${var.bucket}/*"], condition = null },
        { sid = "ListArtifacts", actions = ["s3:ListBucket"], resources = ["arn:aws:s3:::${var.bucket}"], condition = null },
        { sid = "Key", actions = ["kms:Decrypt", "kms:GenerateDataKey"], resources = [var.kms_key_arn], condition = null },
      ]
    }
  }
}
