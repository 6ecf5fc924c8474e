output "rotation_functions" {
  description = "Engine => ARN of the function that rotates it."
  value       = { for engine in local.shape.engines : engine => aws_cloudformation_stack.rekey.outputs["Rotation${title(engine)}"] }
}

output "event_bus" {
  description = "Name of the bus with every event of Rekey (docs/events.md)."
  value       = aws_cloudformation_stack.rekey.outputs["EventBus"]
}

output "topic_arn" {
  description = "Where people hear of failures. Encrypted with a key of the stack."
  value       = aws_cloudformation_stack.rekey.outputs["Topic"]
}

output "roles" {
  description = "The roles that enter the clusters; empty without clusters."
  value       = { for role in keys(local.groups) : role => aws_cloudformation_stack.rekey.outputs[role] if length(var.clusters) > 0 }
}
