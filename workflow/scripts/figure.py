"""Draw one figure: what the script of its kind does."""

import runpy
from pathlib import Path

kind = snakemake.params.job["kind"]
script = Path(__file__).with_name(f"figure_{kind}.py")
runpy.run_path(str(script), {"snakemake": snakemake}, run_name="__main__")
