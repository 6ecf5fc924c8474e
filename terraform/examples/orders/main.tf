# One PostgreSQL secret, one cluster, public endpoints. Before: npm run package -- --engines postgres --clusters 1
provider "aws" {
  region = "eu-west-1"
}

resource "aws_secretsmanager_secret" "orders" {
  name = "orders/db"
  tags = { "rotated-by" = "rekey-postgres" }
}

module "rekey" {
  source = "../.."

  package  = "${path.module}/../../../package"
  bucket   = "example-artefacts-eu-west-1"
  name     = "orders"
  email    = "on-call@example.com"
  clusters = [{ name = "shop" }]

  allowed_hosts = [".eu-west-1.rds.amazonaws.com"]

  secrets = {
    orders = {
      secret_id = aws_secretsmanager_secret.orders.id
      engine    = "postgres"
      schedule  = "cron(0 3 ? * SUN *)"
      window    = "2h"
    }
  }
}

output "rotation_functions" {
  value = module.rekey.rotation_functions
}
