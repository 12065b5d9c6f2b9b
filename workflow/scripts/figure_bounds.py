"""F of flows from both sides: bounds and what they bracket, a row a flow, beside the exact F."""

from failures import sentences
from matplotlib.figure import Figure

from qdflow import captions, plotting, tables
from qdflow.rungs import Rung, ladder, show_ladder
from qdflow.summary import COLUMNS

FIGURE = {
    "flows": (1, 40),
    "inputs": {"summary": "run/summary"},
    "options": {
        "marks": {
            "description": "Values of F from elsewhere, for the kind bounds.",
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["label", "F"],
                "properties": {
                    "label": {"description": "Where it is from.", "type": "string"},
                    "F": {"description": "The free energy.", "type": "number"},
                },
            },
        }
    },
}

sentences(snakemake)
job, out = snakemake.params.job, snakemake.output
summary = tables.read(snakemake.input.summary, "summarize", COLUMNS)
shown = ladder(summary, job["cells"], job["labels"])


def draw() -> Figure:
    """All of it, and the distance from exact."""
    marks = {mark["label"]: mark["F"] for mark in job.get("marks", [])}
    return show_ladder(shown, job["title"], marks)


def between(rung: Rung) -> str:
    """The bounds of one flow, in words."""
    if rung.failed:
        return f"{rung.label} failed and bounds nothing"
    ends = [rung.found[m] for m in ("annealed_lower", "annealed_upper") if m in rung.found]
    ends = ends or [rung.found[m] for m in ("lower", "variational") if m in rung.found]
    if len(ends) == 2:
        return f"{rung.label}: {ends[0]} to {ends[1]}"
    return f"{rung.label}: below {ends[0]}"


plotting.publish(draw, [out.pdf, out.png], [out.column])
captions.write(
    f"""
    F of each flow from both sides: a bar from its lower to its upper bound, which holds the exact F
    if ln q is a log-density, and inside it what estimates say. Look for points on the line of the
    exact F, and for short bars; what is not drawn was refused, for the reason at the right.

    The exact F is {shown.exact}. {captions.listed(map(between, shown.rungs))}.
    """,
    out.caption,
)
