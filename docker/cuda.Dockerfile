# densekd on NVIDIA GPUs: docker build -f docker/cuda.Dockerfile -t densekd:cuda .
# docker run --rm --gpus all --shm-size 8g -v "$PWD:/work" densekd:cuda train student.yaml
# torch's wheels bring CUDA's libraries; the driver is the host's.
FROM python:3.11-slim

# Triton compiles its launcher once, with a C compiler.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

COPY . /densekd
RUN pip install --no-cache-dir -c /densekd/constraints.txt '/densekd[coco,export]' && rm -rf /densekd

RUN useradd --create-home densekd
USER densekd
WORKDIR /work
ENTRYPOINT ["densekd"]
CMD ["--help"]
