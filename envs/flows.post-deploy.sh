#!/bin/sh
# Run in the new environment, from the folder in which snakemake was started: the repository.
exec python -m pip install --no-deps --editable .
