import { z } from 'zod';

/** A CloudFormation template, as far as the sandbox reads it (CloudFormation User Guide, "Template sections"). */

const resourceSchema = z.object({
  Type: z.string(),
  Properties: z.record(z.string(), z.unknown()).default({}),
  DependsOn: z
    .union([z.string(), z.array(z.string())])
    .default([])
    .transform((names) => [names].flat()),
  DeletionPolicy: z.string().optional(),
  UpdateReplacePolicy: z.string().optional(),
  Metadata: z.unknown().optional(),
});

const templateSchema = z.strictObject({
  AWSTemplateFormatVersion: z.string().optional(),
  Description: z.string().optional(),
  Metadata: z.unknown().optional(),
  Parameters: z.record(z.string(), z.object({ Type: z.string(), Default: z.unknown().optional() })).default({}),
  /** Assertions about parameters, which the sandbox does not check: CDK's is about its own bootstrap stack. */
  Rules: z.unknown().optional(),
  Resources: z.record(z.string(), resourceSchema.strict()),
  Outputs: z
    .record(
      z.string(),
      z.object({ Value: z.unknown(), Export: z.object({ Name: z.unknown() }).optional(), Description: z.unknown() }),
    )
    .default({}),
});

export type Resource = z.infer<typeof resourceSchema>;
export type Template = z.infer<typeof templateSchema>;

/** @throws Error that names what is not known here: a section or an attribute of a resource that would have no effect */
export function parseTemplate(json: unknown): Template {
  const parsed = templateSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new Error(`the template has what the sandbox does not know:\n${z.prettifyError(parsed.error)}`);
}
