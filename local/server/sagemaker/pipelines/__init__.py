"""SageMaker Pipelines: definitions, and runs whose steps are local jobs."""
