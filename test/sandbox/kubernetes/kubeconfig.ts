/** One cluster, and one user of it who has a token. */
export function kubeconfig(clusterName: string, server: string, caPem: string, token: string): string {
  // JSON is YAML.
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': clusterName,
    clusters: [
      {
        name: clusterName,
        cluster: { server, 'certificate-authority-data': Buffer.from(caPem).toString('base64') },
      },
    ],
    users: [{ name: 'admin', user: { token } }],
    contexts: [{ name: clusterName, context: { cluster: clusterName, user: 'admin' } }],
  });
}
