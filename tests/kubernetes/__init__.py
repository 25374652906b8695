"""Tests with pods on whatever cluster KUBECONFIG names; `make test-k8s`."""
