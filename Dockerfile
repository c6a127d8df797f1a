# The service and its migrations, and nothing that deploys or tests them. docs/IMAGE.md says what is checked of it.
# No RUN --mount: Railway takes cache mounts only with the id of one service in them.
# Base images by digest, and written out: Dependabot, which proposes newer ones, reads no ARG. Where these two digests
# are from: docs/SUPPLY_CHAIN.md.
FROM ghcr.io/astral-sh/uv:0.13.0@sha256:cdc6093146eb3ff6a40107b38f008b789e050e77ad87865e381d9917da55a168 AS uv

FROM python:3.13-slim@sha256:70729b46c69b4f1e97c4822c1af3df53a1476cf5ddc6c087c0c10bc3a5678c2f AS build
# For strip(1), whatever its version: nothing of it is shipped.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
COPY --from=uv /uv /bin/uv
# Bytecode that is valid whatever the time of its source: builders round times when they copy between stages, and a
# process that may not write would then compile hundreds of modules at each start.
ENV UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH
ENV UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /app
# Dependencies first: a change of the code alone does not install them again. Wheels only: what has none for this
# platform must fail here, not start a compiler (xmlsec and lxml carry libxml2, and only their wheels carry the same).
# Debug symbols, sources of compiled modules and tests of packages are a third of what they install.
COPY pyproject.toml uv.lock ./
COPY product ./product
RUN uv sync --locked --no-default-groups --group image --no-install-project --no-build \
    && find .venv -name '*.so' -exec strip --strip-unneeded {} + \
    && find .venv -type d \( -name tests -o -name testing \) -prune -exec rm -r {} + \
    && find .venv -type f -regex '.*\.\(c\|h\|pxd\|pxi\|pyx\)' -delete
COPY README.md LICENSE ./
COPY service ./service
COPY migrations ./migrations
# The console script is the command of the checkout, whose package is not here; the lock file is for all to write. What uv
# notes for its own next run has the time in it: without it, the same inputs make the same image.
RUN uv sync --locked --no-default-groups --group image --no-editable && rm .venv/bin/signalbox .venv/.lock \
    && find .venv -name uv_cache.json -delete \
    && find .venv -path '*.dist-info/RECORD' -exec sed -i '/\/uv_cache\.json,/d' {} +

FROM python:3.13-slim@sha256:70729b46c69b4f1e97c4822c1af3df53a1476cf5ddc6c087c0c10bc3a5678c2f AS run
# The base comes without compiled standard library. -f: what this command itself imports was just compiled by time.
RUN python -m compileall -q -f -j 0 --invalidation-mode unchecked-hash \
        -x '/(ensurepip|idlelib|lib2to3|pydoc_data|site-packages|test|tkinter|turtledemo|unittest)/' \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && groupadd --system --gid 999 app \
    && useradd --system --gid 999 --uid 999 --no-create-home --home-dir /nonexistent app
COPY --from=build /app/.venv /app/.venv
ENV PATH="/app/.venv/bin:$PATH" PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
# By number: a platform that refuses root can tell without looking into the image.
USER 999:999
EXPOSE 8000
# Python is process 1 and gets SIGTERM itself; PORT and the rest come from the environment.
CMD ["python", "-m", "service"]
