"""What runs inside SageMaker's training containers, and on this machine in the same way."""
