import { Stack, Token } from 'aws-cdk-lib';
import {
  InterfaceVpcEndpoint,
  InterfaceVpcEndpointAwsService,
  type ISecurityGroup,
  type IVpc,
  Peer,
  Port,
  SecurityGroup,
  SubnetFilter,
  type SubnetSelection,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import { AnyPrincipal, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import type { EndpointService, Network as NetworkProps } from '../config.ts';
import { acknowledgeWarning } from './acknowledge.ts';

/** Your VPC, and what Rekey adds to it: rules on security groups that are there, and endpoints where you ask for them. */
export class Network extends Construct {
  readonly vpc: IVpc;
  readonly subnets: SubnetSelection;
  readonly #endpoints = new Map<EndpointService, ISecurityGroup>();
  readonly #groups = new Map<string, ISecurityGroup>();

  constructor(scope: Construct, { vpcId, availabilityZones, subnetIds, endpoints }: NetworkProps) {
    super(scope, 'Network');
    this.vpc = Vpc.fromVpcAttributes(this, 'Vpc', {
      vpcId,
      availabilityZones: [...availabilityZones],
      privateSubnetIds: [...subnetIds],
      ...(endpoints && { vpcCidrBlock: endpoints.vpcCidr }),
    });
    this.subnets = { subnetFilters: [SubnetFilter.byIds([...subnetIds])] };
    acknowledgeWarning(this, '@aws-cdk/aws-ec2:noSubnetRouteTableId', 'Nothing here asks for a route table.');
    if (endpoints === undefined || endpoints.services.length === 0) return;

    const group = new SecurityGroup(this, 'Endpoints', {
      vpc: this.vpc,
      description: 'VPC endpoints of Rekey',
      allowAllOutbound: false,
    });
    // The endpoint takes over the service's name for everyone in the VPC: whoever is shut out here has no way left.
    group.addIngressRule(Peer.ipv4(endpoints.vpcCidr), Port.HTTPS, 'the VPC');
    for (const service of endpoints.services) {
      const endpoint = new InterfaceVpcEndpoint(this, `Endpoint ${service}`, {
        vpc: this.vpc,
        subnets: this.subnets,
        service: SERVICES[service],
        securityGroups: [group],
        open: false,
      });
      // Nobody from outside carries data away through it with credentials of another account.
      endpoint.addToPolicy(
        new PolicyStatement({
          sid: 'ThisAccountAlone',
          principals: [new AnyPrincipal()],
          actions: ['*'],
          resources: ['*'],
          conditions: { StringEquals: { 'aws:PrincipalAccount': Stack.of(this).account } },
        }),
      );
      this.#endpoints.set(service, group);
    }
  }

  /** A security group that is there already. */
  existing(id: string): ISecurityGroup {
    const name = Token.isUnresolved(id) ? this.#groups.size + 1 : id;
    const known = this.#groups.get(id) ?? SecurityGroup.fromSecurityGroupId(this, `Group ${name}`, id);
    this.#groups.set(id, known);
    return known;
  }

  /** Opens the way from `group` to an API: to its endpoint where there is one, else to port 443 of anything. */
  allowApi(group: SecurityGroup, service: EndpointService): void {
    const endpoint = this.#endpoints.get(service);
    if (endpoint === undefined) this.allowAnywhere(group);
    else group.addEgressRule(endpoint, Port.HTTPS, 'VPC endpoints of Rekey');
  }

  /** Opens port 443 of anything: APIs whose addresses nobody knows beforehand. */
  allowAnywhere(group: SecurityGroup): void {
    group.addEgressRule(Peer.anyIpv4(), Port.HTTPS, 'APIs of AWS and of Kubernetes');
  }
}

const SERVICES: Readonly<Record<EndpointService, InterfaceVpcEndpointAwsService>> = {
  secretsmanager: InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
  events: InterfaceVpcEndpointAwsService.EVENTBRIDGE,
  sqs: InterfaceVpcEndpointAwsService.SQS,
  eks: InterfaceVpcEndpointAwsService.EKS,
  rds: InterfaceVpcEndpointAwsService.RDS,
  sts: InterfaceVpcEndpointAwsService.STS,
};
