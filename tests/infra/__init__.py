"""What lies in `infra`: manifests that a cluster takes, without a cluster."""
