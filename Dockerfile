# Echodeck in an image that holds Python and what Echodeck needs, and nothing that builds or installs.
# What changes seldom comes first: a change of code installs nothing again.
ARG PYTHON_IMAGE=python:3.13-slim

# The locked packages that run.
FROM ${PYTHON_IMAGE} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/echodeck
COPY requirements.txt /src/
# Bytecode that is not compared with its source's time: layers and copies may change times.
RUN python -m pip --quiet --python /opt/echodeck install --require-hashes --only-binary :all: --no-compile \
        --requirement /src/requirements.txt \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/echodeck/lib

# The wheel, with the page's packages from npm in it.
FROM ${PYTHON_IMAGE} AS wheel
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /build
WORKDIR /src
COPY requirements-build.txt ./
RUN /build/bin/python -m pip --quiet install --require-hashes --requirement requirements-build.txt
COPY .npmrc package.json package-lock.json hatch_build.py ./
RUN /build/bin/python hatch_build.py
COPY pyproject.toml README.md LICENSE echodeck.py pytest_echodeck.py ./
COPY app app
COPY servers servers
COPY templates templates
COPY static static
RUN /build/bin/python -m pip --quiet wheel --no-deps --no-build-isolation --wheel-dir /wheel .

# Echodeck itself, apart from what it needs, so that it is a small layer of its own.
FROM dependencies AS echodeck
COPY --from=wheel /wheel /wheel
RUN python -m pip --quiet --python /opt/echodeck install --no-deps --no-index --no-compile --prefix /echodeck /wheel/*.whl \
 && python -m compileall -q --invalidation-mode unchecked-hash /echodeck/lib

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Echodeck" \
      org.opencontainers.image.description="A supervisor for TCP echo servers, run from a web page" \
      org.opencontainers.image.licenses="MIT"
# Without what the base brings to install more; with a user who owns nothing but the state.
RUN python -c 'import importlib.util, shutil; [shutil.rmtree(found.submodule_search_locations[0]) for name in ("pip", "ensurepip") if (found := importlib.util.find_spec(name))]' \
 && groupadd --gid 10001 echodeck \
 && useradd --uid 10001 --gid 10001 --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin echodeck \
 && install --directory --owner echodeck --group echodeck --mode 0700 /var/lib/echodeck
ENV PATH=/opt/echodeck/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ECHODECK_HOST=0.0.0.0 \
    ECHODECK_STATE=/var/lib/echodeck/echodeck.sqlite3
VOLUME /var/lib/echodeck
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["echodeck", "health"]
ENTRYPOINT ["echodeck"]
CMD ["serve"]
COPY --from=dependencies /opt/echodeck /opt/echodeck
COPY --from=echodeck /echodeck /opt/echodeck
# The base has no bytecode of Python's own modules: here is that of those that are used, also by `echodeck health`, and
# compiled templates. And the demo's declaration.
RUN PYTHONDONTWRITEBYTECODE= python -c 'import sys, echodeck; sys.path.insert(0, str(echodeck.HOUSE)); import app.program.warm, app.commands.serve, app.cli, email.utils; echodeck.Client().close()' \
 && echodeck demo --declare --host 0.0.0.0 >/opt/echodeck/demo.toml \
 && echodeck demo --declare --host node >/opt/echodeck/fleet.toml
# Numbers, so that an orchestrator can tell that it is not root.
USER 10001:10001
