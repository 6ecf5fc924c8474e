import { Stack } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import type { RekeyProps } from '../config.ts';
import { checkedProps } from '../config-check.ts';
import { type EngineName, ROTATION } from '../wiring.ts';
import { Foundation } from './foundation.ts';
import { Notifications } from './notifications.ts';
import { Operations } from './operations.ts';
import { Retire } from './retire.ts';
import { Rotation } from './rotation.ts';
import { Sweep } from './sweep.ts';
import { Sync } from './sync.ts';
import { Watch } from './watch.ts';

/**
 * All of Rekey: sync for its clusters, rotation for each secret that a `RotatedSecret` gives it, retire where there are
 * both, and what people see of it. What a deployment does not use is not made.
 */
export class Rekey extends Construct {
  readonly foundation: Foundation;
  readonly notifications: Notifications;
  readonly sync: Sync | undefined;
  readonly sweep: Sweep | undefined;
  readonly #operations: Operations;
  readonly #rotations = new Map<EngineName, Rotation>();
  readonly #rotationArns = () =>
    [...this.#rotations.keys()].map((engine) => this.foundation.functionArn(ROTATION[engine]));
  #retire: Retire | undefined;

  /** @throws Error that lists everything that is wrong with `props` */
  constructor(scope: Construct, id: string, props: RekeyProps) {
    super(scope, id);
    this.foundation = new Foundation(this, checkedProps(props, Stack.of(this)));
    this.notifications = new Notifications(this, this.foundation);
    this.#operations = new Operations(this, this.foundation, this.notifications);
    if (props.clusters.length === 0) return;
    this.sync = new Sync(this, this.foundation, this.#rotationArns);
    this.sweep = new Sweep(this, this.foundation, this.sync.work);
    this.#operations.watchSync(this.sync, this.sweep);
  }

  /** The function that rotates this kind of database, made at its first use. */
  rotationOf(engine: EngineName): Rotation {
    const known = this.#rotations.get(engine);
    if (known !== undefined) return known;
    if (this.#rotations.size === 0) this.#beginRotating();
    const rotation = new Rotation(this, this.foundation, ROTATION[engine], this.sync !== undefined);
    this.#rotations.set(engine, rotation);
    this.#operations.watchRotation(rotation);
    return rotation;
  }

  /** Only what sync has proved may be retired, and only what Rekey rotates has a previous user to retire. */
  get retire(): Retire | undefined {
    return this.#retire;
  }

  #beginRotating(): void {
    this.#operations.watchWatch(new Watch(this, this.foundation, this.#rotationArns));
    if (this.sync === undefined) return;
    this.#retire = new Retire(this, this.foundation, this.#rotationArns);
    this.#operations.watchRetire(this.#retire);
  }
}
