# charloom's server: `docker build -f docker/serve.Dockerfile -t charloom-serve .`
#
#   docker run -p 8080:8080 -v "$PWD/runs/mine:/opt/ml/model:ro" charloom-serve
#
# Amazon SageMaker starts it as `docker run IMAGE serve`, as root, with the model in /opt/ml/model; anywhere else
# `--user 1000 --read-only` works as well: nothing is written. No torch in it. tests/proofs/test_images.py builds it.
FROM python:3.12-slim AS build
WORKDIR /build
# A checkout, or what `charloom sagemaker image` sends: the wheel of an installed charloom.
COPY . .
RUN if [ -f pyproject.toml ]; then \
    CHARLOOM_KERNELS="linux-$(uname -m)" pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .; \
    else mkdir /wheels && mv ./*.whl /wheels/; fi

FROM python:3.12-slim
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY constraints.txt /tmp/constraints.txt
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    printf '%s[serve]\n' /wheels/*.whl | xargs pip install --no-cache-dir --constraint /tmp/constraints.txt \
    && rm /tmp/constraints.txt \
    # The packages' own tests are a seventh of what was installed.
    && find "$(python -c 'import charloom; print(charloom.__path__[0])')/.." -depth -type d -name tests -exec rm -r {} + \
    # Python's image has no compiled modules, and nothing is written later: without this each start takes a second more.
    && env -u PYTHONDONTWRITEBYTECODE python -c 'import charloom.cli.main, charloom.serving.app'
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["charloom"]
CMD ["serve"]
