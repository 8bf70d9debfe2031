"""Runs a notebook's cells, as one script, where the SageMaker SDK is: python sdk_notebook.py METADATA SCRIPT.

METADATA is what Studio has at /opt/ml/metadata. To STS alone the SDK speaks past AWS_ENDPOINT_URL, so that is turned.
"""

from __future__ import annotations

import os
import runpy
import sys

import sagemaker.session
from sagemaker.telemetry import telemetry_logging

sagemaker.session.NOTEBOOK_METADATA_FILE = sys.argv[1]
sagemaker.session.sts_regional_endpoint = lambda region: os.environ["AWS_ENDPOINT_URL"]
telemetry_logging._send_telemetry_request = lambda *what, **more: sys.exit("the SDK reports to Amazon")
runpy.run_path(sys.argv[2], run_name="__main__")
