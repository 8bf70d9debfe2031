"""The HTTP server: completions as OpenAI's clients ask for them, SageMaker's container contract, and what a page needs.

One engine a model writes all requests' texts side by side. The only room with fastapi, uvicorn and prometheus_client.
"""
