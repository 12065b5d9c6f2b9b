"""Put the numbers and figures of a finished run into README.md and docs/.

Usage: readme.py RESULTS_FOLDER
"""

import re
import shutil
import sys
from pathlib import Path

from qdflow import tables
from qdflow.summary import COLUMNS, overview

results, readme = Path(sys.argv[1]), Path("README.md")
shown = overview(tables.read(results / "summary.parquet", "summarize", COLUMNS))
lines = [shown.columns, ["---"] * len(shown.columns), *shown.itertuples(index=False)]
table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
marked = r"(<!-- results -->\n).*?(<!-- end of results -->)"
filled = re.compile(marked, re.S).subn
text, replaced = filled(lambda m: f"{m[1]}{table}\n{m[2]}", readme.read_text(), count=1)
if not replaced:
    sys.exit(f"{readme} lacks the marks <!-- results --> and <!-- end of results -->; add them")
readme.write_text(text)
for path in sorted((results / "figures").glob("*.png")):
    shutil.copyfile(path, Path("docs") / path.name)
