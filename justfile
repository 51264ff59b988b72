# The same commands as `cargo xtask …`, for those who type `just`.

# List the recipes.
default:
    @just --list

# Fetch what tests need.
setup:
    cargo xtask setup

# A Package Manager, two CRMs and a package that converges; Ctrl-C ends it.
demo *args:
    cargo xtask demo {{args}}

# Every test.
test *args:
    cargo xtask test {{args}}

# Format and lints.
lint:
    cargo xtask lint

# What CI runs.
ci:
    cargo xtask ci

# Everything that the interface describes, asked of a live server.
schemathesis *args:
    cargo xtask schemathesis {{args}}

# Stories of the whole system under faults.
simulate *args:
    cargo xtask simulate {{args}}

bench *args:
    cargo xtask bench {{args}}

# The real thing, broken under load.
faults *args:
    cargo xtask faults {{args}}

# Input that breaks a reader, looked for.
fuzz *args:
    cargo xtask fuzz {{args}}

# Images of programs built here, and a cluster of them.
images *args:
    cargo xtask images {{args}}

up: images
    docker-compose --file docker-compose.test.yml up --detach

down:
    docker-compose --file docker-compose.test.yml down --volumes
