import { Validations } from 'aws-cdk-lib';
import type { IConstruct } from 'constructs';

/** The packs of cdk-nag that every environment is checked with, as they call themselves. */
const PACKS = ['AwsSolutions', 'Serverless', 'NIST.800.53.R5', 'HIPAA.Security', 'PCI.DSS.321'] as const;

/**
 * Says why a finding of cdk-nag is right as it is, to each pack that has the rule.
 * @param finding without its pack, e.g. `LambdaDLQ` or `IAM5[Resource::*]`
 */
export function acknowledge(construct: IConstruct, finding: string, reason: string): void {
  // cdk-nag's spelling of what CloudFormation fills in.
  const spelt = finding.replaceAll(/\$\{Token\[AWS\.(\w+)[^\]]*\]\}/g, '<AWS::$1>');
  for (const pack of PACKS) Validations.of(construct).acknowledge({ id: `${pack}::${pack}-${spelt}`, reason });
}

/** A policy that belongs to one role alone. */
export const acknowledgeOwnPolicy = (construct: IConstruct): void =>
  acknowledge(
    construct,
    'IAMNoInlinePolicy',
    'The policy is for one role and names its resources: as a managed policy, somebody could attach it to another.',
  );

/** Of the CDK itself. @param id e.g. `@aws-cdk/aws-ec2:noSubnetRouteTableId` */
export function acknowledgeWarning(construct: IConstruct, id: string, reason: string): void {
  Validations.of(construct).acknowledge({ id: `Annotation::${id}`, reason });
}
