# charloom's training: `docker build -f docker/train.Dockerfile -t charloom-train .`
#
#   docker run -v "$PWD/ml:/opt/ml" charloom-train
#
# Amazon SageMaker starts it as `docker run IMAGE train`, with the job in /opt/ml; on every GPU of every host there is.
# Nothing is installed when a job starts. torch is the one with CUDA: it trains on a processor as well.
FROM python:3.12-slim AS build
WORKDIR /build
COPY . .
RUN CHARLOOM_KERNELS="linux-$(uname -m)" pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY constraints.txt /tmp/constraints.txt
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    printf '%s[train]\n' /wheels/*.whl | xargs pip install --no-cache-dir --constraint /tmp/constraints.txt \
    && rm /tmp/constraints.txt
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-P", "-m", "charloom.sagemaker.container.job"]
CMD ["train"]
