# The stack, its functions and every right are in the package, made by the same code as a deployment with CDK. Here is
# only what Terraform owns: the objects in the bucket, the ways into the clusters, and when each secret rotates.
locals {
  folder = dirname(one(fileset(var.package, "rekey-*/package.json")))
  shape  = jsondecode(file("${var.package}/${local.folder}/package.json"))
  files  = fileset(var.package, "${local.folder}/**")

  parameters = merge(
    {
      ArtefactBucket = var.bucket
      Name           = var.name
      Email          = var.email
      AllowedHosts   = join(" ", var.allowed_hosts)
      LogLevel       = var.log_level
    },
    { for index, cluster in var.clusters : "Cluster${index + 1}" => cluster.name },
    length(local.shape.engines) == 0 ? {} : { KmsKeyArn = var.kms_key_arn },
    { for engine, name in var.administrators : "${title(engine)}Administrator" => name },
    local.shape.inVpc ? local.network : {},
  )

  network = var.network == null ? {} : merge(
    {
      Vpc     = var.network.vpc_id
      Subnet1 = var.network.subnet_ids[0]
      Subnet2 = var.network.subnet_ids[1]
    },
    length(local.shape.engines) == 0 ? {} : { DatabaseSecurityGroup = var.network.database_security_group_id },
    { for index, cluster in var.clusters : "Cluster${index + 1}SecurityGroup" => cluster.security_group_id },
  )

  # As infra/kubernetes/base names them.
  groups = { SyncRole = "rekey", SweepRole = "rekey-sweep" }
  entries = merge([
    for cluster in var.clusters : {
      for role, group in local.groups : "${cluster.name}/${role}" => { cluster = cluster.name, role = role, group = group }
    }
  ]...)
}

resource "aws_s3_object" "package" {
  for_each = local.files

  bucket      = var.bucket
  key         = each.value
  source      = "${var.package}/${each.value}"
  source_hash = filesha256("${var.package}/${each.value}")
}

data "aws_s3_bucket" "package" {
  bucket = var.bucket
}

resource "aws_cloudformation_stack" "rekey" {
  name         = "rekey-${var.name}"
  template_url = "https://${data.aws_s3_bucket.package.bucket_regional_domain_name}/${local.folder}/rekey.template.json"
  parameters   = local.parameters
  # The roles have names, so that other accounts can name them before they are there.
  capabilities = ["CAPABILITY_NAMED_IAM"]
  tags         = var.tags

  depends_on = [aws_s3_object.package]

  lifecycle {
    precondition {
      condition     = length(var.clusters) == local.shape.clusters
      error_message = "The package is for ${local.shape.clusters} clusters, and clusters names ${length(var.clusters)}: npm run package -- --clusters ${length(var.clusters)}"
    }
    precondition {
      condition     = (var.network != null) == local.shape.inVpc
      error_message = "network goes with a package made by npm run package -- --in-vpc, and with no other."
    }
    precondition {
      condition     = alltrue([for secret in var.secrets : contains(local.shape.engines, secret.engine)])
      error_message = "The package rotates ${join(", ", local.shape.engines)}: npm run package -- --engines ..."
    }
  }
}

resource "aws_eks_access_entry" "rekey" {
  for_each = local.entries

  cluster_name      = each.value.cluster
  principal_arn     = aws_cloudformation_stack.rekey.outputs[each.value.role]
  kubernetes_groups = [each.value.group]
  type              = "STANDARD"
}

resource "aws_secretsmanager_secret_rotation" "rekey" {
  for_each = var.secrets

  secret_id           = each.value.secret_id
  rotation_lambda_arn = aws_cloudformation_stack.rekey.outputs["Rotation${title(each.value.engine)}"]
  # An apply is no reason to change a password. Secrets Manager runs testSecret alone, which is a preflight.
  rotate_immediately = false

  rotation_rules {
    schedule_expression = each.value.schedule
    duration            = each.value.window
  }
}
