# densekd on a CPU: docker build -f docker/cpu.Dockerfile -t densekd:cpu .
# Training reads and writes below /work: docker run --rm -v "$PWD:/work" densekd:cpu train student.yaml
FROM python:3.11-slim

# Where pip finds torch's CPU build, as options of pip; without them it is the build with CUDA, which runs, too.
ARG TORCH_OPTIONS=""

COPY . /densekd
RUN pip install --no-cache-dir ${TORCH_OPTIONS} -c /densekd/constraints.txt torch torchvision \
    && pip install --no-cache-dir -c /densekd/constraints.txt '/densekd[coco,export]' \
    && rm -rf /densekd

# Nobody needs to be root to train, and files on the host belong to the caller: --user "$(id -u):$(id -g)".
RUN useradd --create-home densekd
USER densekd
WORKDIR /work
ENTRYPOINT ["densekd"]
CMD ["--help"]
