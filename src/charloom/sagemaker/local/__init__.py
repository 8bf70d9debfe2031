"""SageMaker's jobs and endpoints on this machine: the same entry points and contracts, without Docker or an account."""
