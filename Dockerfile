# paredown on a CPU; for NVIDIA GPUs: --build-arg TENSORFLOW='tensorflow[and-cuda]'
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG TENSORFLOW=tensorflow-cpu
# hadolint ignore=DL3008 # strip is in this stage alone, of whatever version the base's release has
RUN apt-get update \
 && apt-get install -y --no-install-recommends binutils \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# What writes the bill of materials; it stays in this stage.
COPY .sbom.lock ./
RUN python -m venv --without-pip /opt/sbom \
 && pip --python /opt/sbom/bin/python install -qq --no-cache-dir --no-deps \
      --require-hashes --requirement .sbom.lock
RUN python -m venv --without-pip /opt/paredown
COPY requirements.lock ./
# The lock's packages, and no others; each has its hashes. Of TensorFlow it has tensorflow-cpu, and
# another one takes that one's version and brings its own libraries.
RUN awk -v other="${TENSORFLOW}" '/^[a-z]/ {keep = other == "tensorflow-cpu" || $1 !~ /^tensorflow-cpu==/} keep' \
      requirements.lock > chosen.lock \
 && pip --python /opt/paredown/bin/python install -qq --no-cache-dir --no-compile --no-deps \
      --require-hashes --requirement chosen.lock \
 && if [ "${TENSORFLOW}" != tensorflow-cpu ]; then \
      version="$(awk '/^tensorflow-cpu==/ {split($1, it, "=="); print it[2]}' requirements.lock)" \
   && pip --python /opt/paredown/bin/python install -qq --no-cache-dir --no-compile \
        "${TENSORFLOW}==${version}"; \
    fi
# Headers, symbols, tests, what TensorFlow and LiteRT need to be developed with (libclang, SciPy), the
# services of AWS that are not S3 or a way to its credentials, and what of Arrow is for networks are a
# third of it. Libraries below *.libs were patched by auditwheel and are left alone.
WORKDIR /opt/paredown/lib/python3.11/site-packages
RUN pip --python /opt/paredown/bin/python uninstall -qq --yes libclang scipy \
 && rm -rf tensorflow/include pyarrow/include pyarrow/src pyarrow/*flight* pyarrow/*s3* \
      pyarrow/libarrow_python*.so pyarrow/*.so.*.*.* \
 && find botocore/data -mindepth 1 -maxdepth 1 -type d \
      ! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin -exec rm -rf {} + \
 && find . -type d \( -name tests -o -name testing -o -name __pycache__ \) \
      -path './[nhkmps]*' -prune -exec rm -rf {} + \
 && find . -type f \( -name '*.h' -o -name '*.hpp' -o -name '*.a' -o -name '*.px[di]' -o -name '*.pyx' \) \
      -delete \
 && find tensorflow pyarrow ai_edge_litert zstandard zopfli lz4 _brotli* -name '*.so*' -type f \
      -exec strip --strip-unneeded {} +
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY manifests/quickstart manifests/quickstart
COPY job job
RUN pip --python /opt/paredown/bin/python install -qq --no-cache-dir --no-compile --no-deps \
      --no-build-isolation .
WORKDIR /
# matplotlib's list of fonts, which would be made by each run.
RUN MPLCONFIGDIR=/opt/paredown/share/paredown/matplotlib \
      /opt/paredown/bin/python -c 'import matplotlib.font_manager'
RUN /opt/sbom/bin/cyclonedx-py environment --pyproject /build/pyproject.toml \
      --spec-version 1.6 --output-reproducible \
      --output-file /opt/paredown/share/paredown/sbom.cdx.json /opt/paredown/bin/python \
 && /opt/paredown/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
      /opt/paredown/lib

FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="paredown" \
      org.opencontainers.image.description="Prune, compress and quantize trained Keras models, with proof" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Nothing can be compiled at run time, when the root is read-only.
RUN python -m compileall -q "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
 && install -d -m 1777 /scratch
COPY --from=build /opt/paredown /opt/paredown
ENV PATH=/opt/paredown/bin:/usr/local/bin:/usr/bin:/bin \
    TMPDIR=/scratch \
    HOME=/scratch \
    PYTHONDONTWRITEBYTECODE=1
VOLUME /scratch
WORKDIR /scratch
USER 65532:65532
ENTRYPOINT ["paredown"]
CMD ["--help"]
