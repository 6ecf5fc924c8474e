import {
  anything,
  count,
  defineCustomResource,
  flag,
  labelSelector,
  listOf,
  object,
  type Schema,
  text,
  time,
} from './definition.ts';

const intOrString: Schema = { 'x-kubernetes-int-or-string': true };

/** What Argo Rollouts brings to a cluster, by the field names that it publishes (pkg/apis/rollouts/v1alpha1). */
export const ARGO_ROLLOUTS = [
  defineCustomResource({
    group: 'argoproj.io',
    versions: ['v1alpha1'],
    kind: 'Rollout',
    plural: 'rollouts',
    scope: 'Namespaced',
    shortNames: ['ro'],
    statusSubresource: true,
    scaleSubresource: {
      specReplicasPath: '.spec.replicas',
      statusReplicasPath: '.status.HPAReplicas',
      labelSelectorPath: '.status.selector',
    },
    properties: {
      spec: object({
        replicas: count,
        selector: labelSelector,
        template: object({ metadata: anything, spec: anything }),
        workloadRef: object({ apiVersion: text, kind: text, name: text, scaleDown: text }),
        minReadySeconds: count,
        revisionHistoryLimit: count,
        progressDeadlineSeconds: count,
        progressDeadlineAbort: flag,
        paused: flag,
        restartAt: time,
        analysis: anything,
        rollbackWindow: object({ revisions: count }),
        strategy: object({
          canary: { ...anything, properties: { maxSurge: intOrString, maxUnavailable: intOrString } },
          blueGreen: anything,
        }),
      }),
      status: object({
        abort: flag,
        abortedAt: time,
        HPAReplicas: count,
        replicas: count,
        updatedReplicas: count,
        readyReplicas: count,
        availableReplicas: count,
        collisionCount: count,
        conditions: listOf(
          object(
            { type: text, status: text, reason: text, message: text, lastTransitionTime: time, lastUpdateTime: time },
            ['status', 'type'],
          ),
        ),
        controllerPause: flag,
        currentPodHash: text,
        currentStepHash: text,
        currentStepIndex: count,
        message: text,
        // The generation as text: the controller of old versions put a hash here.
        observedGeneration: text,
        workloadObservedGeneration: text,
        pauseConditions: listOf(object({ reason: text, startTime: time }, ['reason', 'startTime'])),
        phase: text,
        promoteFull: flag,
        restartedAt: time,
        selector: text,
        stableRS: text,
        canary: anything,
        blueGreen: anything,
      }),
    },
  }),
];
