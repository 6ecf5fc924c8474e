variable "package" {
  description = "The folder that `npm run package` wrote, with rekey-<version> in it."
  type        = string
}

variable "bucket" {
  description = "Name of an S3 bucket of this Region for the package. Yours: encrypted, not public."
  type        = string
}

variable "name" {
  description = "Part of every deployed name: rekey-<name>-sync."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.name))
    error_message = "name must be 1 to 20 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "email" {
  description = "Who hears of failures. Confirms the subscription once."
  type        = string
}

variable "clusters" {
  description = "The EKS clusters of this account and Region whose workloads are rolled: as many as the package was made for (--clusters). Their authentication mode must be API or API_AND_CONFIG_MAP."
  type = list(object({
    name = string
    # Of the cluster's API; needed by a package made --in-vpc.
    security_group_id = optional(string)
  }))
  default = []
}

variable "secrets" {
  description = "The secrets to rotate. Each carries the tag rotated-by = rekey-<engine>, or rekey-<engine>-pair for a pair of users."
  type = map(object({
    # ARN or name.
    secret_id = string
    # One that the package was made for (--engines).
    engine = string
    # UTC; the minute is 0 and the year *, such as cron(0 3 ? * SUN *).
    schedule = string
    # 1h to 24h, over before midnight.
    window = string
  }))
  default = {}

  validation {
    condition     = alltrue([for secret in var.secrets : can(regex("^cron\\(0 .* \\*\\)$", secret.schedule))])
    error_message = "schedule must read cron(0 hour day month weekday *): Secrets Manager takes the minute 0 and the year * alone."
  }

  validation {
    condition     = alltrue([for secret in var.secrets : can(regex("^([1-9]|1[0-9]|2[0-4])h$", secret.window))])
    error_message = "window must read 1h to 24h."
  }
}

variable "administrators" {
  description = "Engine => name of the administrator's secret, where users alternate."
  type        = map(string)
  default     = {}
}

variable "kms_key_arn" {
  description = "The customer key that encrypts the secrets. Empty: aws/secretsmanager."
  type        = string
  default     = ""
}

variable "allowed_hosts" {
  description = "Rekey logs in only to hosts whose name ends so, such as .eu-west-1.rds.amazonaws.com. Empty: any."
  type        = list(string)
  default     = []
}

variable "log_level" {
  description = "DEBUG, INFO, WARN or ERROR."
  type        = string
  default     = "INFO"
}

variable "network" {
  description = "Where the functions run; for a package made --in-vpc."
  type = object({
    vpc_id                     = string
    subnet_ids                 = list(string)
    database_security_group_id = string
  })
  default = null

  validation {
    condition     = var.network == null || try(length(var.network.subnet_ids) == 2, false)
    error_message = "network.subnet_ids must name two private subnets."
  }
}

variable "tags" {
  description = "For the stack and all that it makes."
  type        = map(string)
  default     = {}
}
