"""A film of a density along the training of its flow: a GIF, and the page a report shows it on."""

import base64
import html
from pathlib import Path

from failures import sentences

from qdflow import evolution, files

sentences(snakemake)
job, inputs, out = snakemake.params.job, snakemake.input, snakemake.output
(path,) = inputs.flow_frames
of = evolution.read(path, inputs.mc_samples, inputs.mc_estimates)
evolution.film(of, job["title"], out.gif)
picture = base64.b64encode(Path(out.gif).read_bytes()).decode()
page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Film</title></head>
<body><img alt="{html.escape(job["title"])}" src="data:image/gif;base64,{picture}"></body></html>
"""
with files.atomic(Path(out.page)) as temporary:
    temporary.write_text(page, encoding="utf-8")
