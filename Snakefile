"""From the Hamiltonian to the figures: reference, train, estimate, summarize, figure."""

import re
import sys
from functools import cache
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "workflow"))
import imports

imports.first_from(ROOT)
PYTHON = imports.python()
import declared
import faults
import lineage
import needs
import plan
import schema
import settings
from qdflow.provenance import code_hash
from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")


report: "workflow/report/workflow.rst"


# Given on the command line, a configuration replaces the talk's instead of adding to it.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


try:
    schema.check(config)
    schema.complete(config)
    MATRIX = settings.matrix(config)
    lineage.check(config)
    plan.refuse_words(sys.argv[1:], config["results"].rstrip("/"), config)
    SITE = needs.site()
except (schema.ConfigError, declared.DeclarationError) as error:
    raise WorkflowError(f"The configuration cannot be used: {error}.") from None

RESULTS = config["results"].rstrip("/")
REFERENCE, FLOW, TRAINED = (f"{RESULTS}/{p}" for p in (plan.REFERENCE, plan.FLOW, plan.TRAINED))
ESTIMATES = [
    f"{REFERENCE}/estimates.parquet".format(system=s, beta=b) for s, b in MATRIX.references
]
ESTIMATES += [
    f"{FLOW}/estimates.parquet".format(cell=c.name, beta=c.beta, seed=c.seed) for c in MATRIX.cells
]
ESTIMATES += [
    f"{FLOW}/{look}.parquet".format(cell=c.name, beta=c.beta, seed=c.seed)
    for c in MATRIX.cells
    for look in settings.looks(c, MATRIX, config)
]


def one_of(names):
    return "|".join(sorted(map(re.escape, names)))


@cache
def code(script, *more):
    """Of a script and all it imports: what `job` holds, so that an edit reruns the right jobs."""
    return code_hash(ROOT / f"workflow/scripts/{script}.py", *more)


def flow_file(cell):
    """Imported by a computed name, hence invisible to the hash unless it is named."""
    architecture = config["architectures"][config["cells"][cell]["architecture"]]
    return ROOT / f"qdflow/flows/{architecture['flow']}.py"


def trap_file(system):
    """Imported by a computed name as well."""
    return ROOT / f"qdflow/traps/{config['systems'][system]['trap']}.py"


def cell_files(cell):
    return flow_file(cell), trap_file(config["cells"][cell]["system"])


def flow_path(cell):
    return FLOW.format(cell=cell.name, beta=cell.beta, seed=cell.seed)


def trained_path(cell, beta, seed):
    """Where the model is: one for all betas, or each its own."""
    at = "family" if is_family(cell) else f"beta{beta}"
    return TRAINED.format(cell=cell, at=at, seed=seed)


def is_family(cell):
    return "family" in config["cells"][cell]


def reference_path(cell):
    return reference_folder(cell.name, cell.beta)


def reference_folder(cell, beta):
    return REFERENCE.format(system=config["cells"][cell]["system"], beta=beta)


def cell_columns(cell, beta, seed):
    spec = config["cells"][cell]
    columns = dict(config["systems"][spec["system"]], beta=float(beta), cell=cell, seed=int(seed))
    columns |= {k: spec[k] for k in ("system", "architecture", "symmetry")}
    return columns | {"objective": lineage.claim(cell, beta, config)}


def learns_from_reference(cell):
    return config["cells"][cell]["objective"] != "reverse"


def train_inputs(wc):
    """Samples, where the objective takes any: what learns from the Hamiltonian waits for none."""
    beta = wc.at.removeprefix("beta")
    inputs = {}
    if learns_from_reference(wc.cell):
        inputs["reference"] = f"{reference_folder(wc.cell, beta)}/samples.parquet"
    sources = lineage.sources(wc.cell, beta, config)
    return inputs | {key: f"{trained_path(*cell)}/model.pt" for key, cell in sources.items()}


def reference_job(wc):
    return reference_of(wc.system, wc.beta)


def reference_of(name, beta):
    budget = settings.reference_budget(name, beta, config)
    config_seed = budget.pop("seed")
    system = config["systems"][name]
    seed = settings.seed_of("reference", system["n"], system["trap"], beta, config_seed)
    return dict(
        name=name,
        system=system,
        beta=float(beta),
        budget=budget,
        seed=seed,
        config_seed=config_seed,
        code=code("reference", trap_file(name)),
    )


def train_job(wc):
    return train_job_of(wc.cell, wc.at.removeprefix("beta"), wc.seed)


def train_job_of(cell, beta, seed):
    """Of a family, which has no beta of its own, ``beta`` is "family"."""
    spec, sources = config["cells"][cell], lineage.sources(cell, beta, config)
    learned_from = [source.name for source in sources.values()]
    job = dict(
        system=config["systems"][spec["system"]],
        **(dict(family=spec["family"]) if is_family(cell) else dict(beta=float(beta))),
        architecture=config["architectures"][spec["architecture"]],
        training=config["trainings"][spec["training"]] | dict(phases=settings.phases(cell, config)),
        objective=spec["objective"],
        average=spec["symmetry"] if spec["averaging"] == "in_the_loss" else "",
        seed=settings.seed_of("train", cell, beta, seed),
        code=code("train", *(f for c in [cell, *learned_from] for f in cell_files(c))),
    )
    if learns_from_reference(cell):  # half a training must not go on with other samples
        job["reference"] = settings.digest(reference_of(spec["system"], beta))
    for key, (other, at, its_seed) in sources.items():
        before = train_job_of(other, "family" if is_family(other) else at, str(its_seed))
        job[key] = spec[key] | dict(job=settings.digest(before), beta=float(at))
    # Not an output: snakemake deletes those of a failed job, and then there is no going on.
    return job | {"saved": f"{RESULTS}/checkpoints/{settings.digest(job)}.pt"}


def estimate_job(wc):
    return dict(
        columns=cell_columns(wc.cell, wc.beta, wc.seed),
        estimate=config["estimate"],
        seed=settings.seed_of("estimate", wc.cell, wc.beta, wc.seed),
        code=code("estimate", *cell_files(wc.cell)),
    )


def look_job(look):
    """What decides a look at a trained flow: `audit`, `bounds` or `anneal`."""

    def job(wc):
        spec = config["cells"][wc.cell]
        return {
            "columns": cell_columns(wc.cell, wc.beta, wc.seed),
            look: spec[look] if look == "anneal" else config[look],
            "seed": settings.seed_of(look, wc.cell, wc.beta, wc.seed),
            "code": code(look, *cell_files(wc.cell)),
        }

    return job


def picture_job(script, **more):
    """What decides a table that only figures read."""

    def job(wc):
        return dict(
            more,
            columns=cell_columns(wc.cell, wc.beta, wc.seed),
            seed=settings.seed_of(script, wc.cell, wc.beta, wc.seed),
            code=code(script, *cell_files(wc.cell)),
        )

    return job


def of_reference(table):
    return lambda wc: f"{reference_folder(wc.cell, wc.beta)}/{table}.parquet"


def compared_cells():
    sides = [side for pair in MATRIX.comparisons.values() for side in pair]
    return list(dict.fromkeys(cell for side in sides for cell in side))


def compare_inputs():
    """What there is of all that is compared and of its references, and how it was trained."""
    cells = compared_cells()
    flows, references = map(flow_path, cells), dict.fromkeys(map(reference_path, cells))
    names = [f"{flow}/{table}" for flow in flows for table in ("estimates", "audit")]
    names += [f"{reference}/estimates" for reference in references]
    return dict(
        estimates=[f"{name}.parquet" for name in names],
        histories=[f"{trained_path(*cell)}/history.parquet" for cell in cells],
    )


def compare_job(wc):
    comparisons = {
        name: dict(spec, beta=float(MATRIX.comparisons[name].cell[0].beta))
        for name, spec in config["comparisons"].items()
    }
    trained = [cell._asdict() | dict(beta=float(cell.beta)) for cell in compared_cells()]
    return dict(comparisons=comparisons, trained=trained, code=code("compare"))


def figure_inputs(name):
    """The tables that the script of a figure asks for, of its cells, their references or the run."""
    cells = MATRIX.figures[name]
    return {
        key: figure_tables(cells, *table.split("/"))
        for key, table in declared.figure(kind_of(name)).inputs.items()
    }


def figure_tables(cells, source, table):
    """Path or paths of one kind of table: see `declared.SOURCES`."""
    name = "model.pt" if table == "model" else f"{table}.parquet"
    if source == "run":
        return f"{RESULTS}/{name}"
    if source == "reference":
        return f"{reference_path(cells[0])}/{name}"
    if source == "references":
        return [f"{folder}/{name}" for folder in all_references(cells)]
    folders = [flow_path(c) if source == "flow" else trained_path(*c) for c in cells]
    return [f"{folder}/{name}" for folder in dict.fromkeys(folders)]


def all_references(cells):
    """Of the systems of these cells, at every beta."""
    shown = {config["cells"][cell.name]["system"] for cell in cells}
    return [REFERENCE.format(system=s, beta=b) for s, b in MATRIX.references if s in shown]


def category(kind):
    """Of a figure in the report, which sorts them by name."""
    return f"{settings.CATEGORIES.index(kind) + 1}. {kind}"


def kind_of(figure):
    return config["figures"][figure]["kind"]


def title_of(figure):
    return config["figures"][figure].get("title", figure)


def figure_job(wc):
    spec = config["figures"][wc.figure]
    options = declared.figure(spec["kind"]).options
    cells = [cell._asdict() | dict(beta=float(cell.beta)) for cell in MATRIX.figures[wc.figure]]
    return dict(
        kind=spec["kind"],
        title=title_of(wc.figure),
        labels=[flow.get("label", flow["cell"]) for flow in spec.get("flows", [])],
        cells=[dict(cell=cell.pop("name"), **cell) for cell in cells],
        code=code(f"figure_{spec['kind']}"),
        **{key: spec[key] for key in options if key in spec},
    )


def film_job(wc):
    return dict(title=title_of(wc.film), code=code("film"))


FILMS = [name for name in MATRIX.figures if "flow_frames" in figure_inputs(name)]


# beta10.0 would be a second beta10
BETAS = one_of({beta for _, beta in MATRIX.references} | {cell.beta for cell in MATRIX.cells})


wildcard_constraints:
    system=one_of(config["systems"]),
    cell=one_of(config["cells"]),
    beta=BETAS,
    at=f"family|beta({BETAS})",
    seed="0|[1-9][0-9]*",
    figure=one_of(config["figures"]),
    film=one_of(FILMS),


localrules:
    all,


rule all:
    input:
        f"{RESULTS}/summary.parquet",
        [f"{RESULTS}/comparisons.parquet"] * bool(MATRIX.comparisons),
        expand(
            f"{RESULTS}/figures/{{name}}.{{kind}}",
            name=MATRIX.figures,
            kind=["pdf", "png"],
        ),
        expand(f"{RESULTS}/figures/{{film}}.gif", film=FILMS),
        f"{RESULTS}/summary.html",


rule reference:
    output:
        estimates=f"{REFERENCE}/estimates.parquet",
        ladder=f"{REFERENCE}/ladder.parquet",
        samples=f"{REFERENCE}/samples.parquet",
    log:
        f"{RESULTS}/logs/reference/{{system}}/beta{{beta}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/{{system}}/beta{{beta}}.tsv"
    priority: 1
    conda:
        "envs/flows.yaml"
    threads: config["reference"]["ladders"]
    resources:
        **needs.resources(lambda wc: needs.reference(wc.system, wc.beta, config), SITE),
    params:
        job=reference_job,
    script:
        "workflow/scripts/reference.py"


rule train:
    input:
        unpack(train_inputs),
    output:
        model=f"{TRAINED}/model.pt",
        history=f"{TRAINED}/history.parquet",
        snapshots=f"{TRAINED}/snapshots.pt",
    log:
        f"{RESULTS}/logs/train/{{cell}}/{{at}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{cell}}/{{at}}/seed{{seed}}.tsv"
    conda:
        "envs/flows.yaml"
    threads: lambda wc: config["trainings"][config["cells"][wc.cell]["training"]]["threads"]
    resources:
        **needs.resources(lambda wc: needs.train(wc.cell, config), SITE),
        device=SITE.device,
    params:
        job=train_job,
    script:
        "workflow/scripts/train.py"


rule estimate:
    input:
        model=lambda wc: f"{trained_path(wc.cell, wc.beta, wc.seed)}/model.pt",
    output:
        estimates=f"{FLOW}/estimates.parquet",
        samples=f"{FLOW}/samples.parquet",
    log:
        f"{RESULTS}/logs/estimate/{{cell}}/beta{{beta}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/estimate/{{cell}}/beta{{beta}}/seed{{seed}}.tsv"
    conda:
        "envs/flows.yaml"
    threads: 1
    resources:
        **needs.resources(lambda wc: needs.estimate(wc.cell, config), SITE),
        device=SITE.device,
    params:
        job=estimate_job,
    script:
        "workflow/scripts/estimate.py"


rule audit:
    input:
        model=lambda wc: f"{trained_path(wc.cell, wc.beta, wc.seed)}/model.pt",
    output:
        f"{FLOW}/audit.parquet",
    log:
        f"{RESULTS}/logs/audit/{{cell}}/beta{{beta}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/audit/{{cell}}/beta{{beta}}/seed{{seed}}.tsv"
    conda:
        "envs/flows.yaml"
    threads: 1
    resources:
        **needs.resources(lambda wc: needs.audit(wc.cell, config), SITE),
        device=SITE.device,
    params:
        job=look_job("audit"),
    script:
        "workflow/scripts/audit.py"


rule bounds:
    input:
        model=lambda wc: f"{trained_path(wc.cell, wc.beta, wc.seed)}/model.pt",
        samples=f"{FLOW}/samples.parquet",
        reference=of_reference("samples"),
        exact=of_reference("estimates"),
    output:
        f"{FLOW}/bounds.parquet",
    log:
        f"{RESULTS}/logs/bounds/{{cell}}/beta{{beta}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/bounds/{{cell}}/beta{{beta}}/seed{{seed}}.tsv"
    conda:
        "envs/flows.yaml"
    threads: 1
    resources:
        **needs.resources(lambda wc: needs.bounds(wc.cell, config), SITE),
        device=SITE.device,
    params:
        job=look_job("bounds"),
    script:
        "workflow/scripts/bounds.py"


rule anneal:
    input:
        model=lambda wc: f"{trained_path(wc.cell, wc.beta, wc.seed)}/model.pt",
        reference=of_reference("samples"),
    output:
        f"{FLOW}/anneal.parquet",
    log:
        f"{RESULTS}/logs/anneal/{{cell}}/beta{{beta}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/anneal/{{cell}}/beta{{beta}}/seed{{seed}}.tsv"
    conda:
        "envs/flows.yaml"
    threads: 1
    resources:
        **needs.resources(lambda wc: needs.anneal(wc.cell, config), SITE),
        device=SITE.device,
    params:
        job=look_job("anneal"),
    script:
        "workflow/scripts/anneal.py"


rule frames:
    input:
        snapshots=lambda wc: f"{trained_path(wc.cell, wc.beta, wc.seed)}/snapshots.pt",
    output:
        f"{FLOW}/frames.parquet",
    log:
        f"{RESULTS}/logs/frames/{{cell}}/beta{{beta}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/frames/{{cell}}/beta{{beta}}/seed{{seed}}.tsv"
    conda:
        "envs/flows.yaml"
    resources:
        **needs.resources(lambda wc: needs.estimate(wc.cell, config), SITE),
    params:
        job=picture_job("frames", samples=2000),
    script:
        "workflow/scripts/frames.py"


rule grid:
    input:
        model=lambda wc: f"{trained_path(wc.cell, wc.beta, wc.seed)}/model.pt",
    output:
        f"{FLOW}/grid.parquet",
    log:
        f"{RESULTS}/logs/grid/{{cell}}/beta{{beta}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/grid/{{cell}}/beta{{beta}}/seed{{seed}}.tsv"
    conda:
        "envs/flows.yaml"
    resources:
        **needs.resources(needs.small, SITE),
    params:
        job=picture_job("grid"),
    script:
        "workflow/scripts/grid.py"


rule summarize:
    input:
        ESTIMATES,
    output:
        f"{RESULTS}/summary.parquet",
    log:
        f"{RESULTS}/logs/summarize.log",
    conda:
        "envs/figures.yaml"
    resources:
        **needs.resources(needs.small, SITE),
    params:
        job=dict(code=code("summarize")),
    script:
        "workflow/scripts/summarize.py"


rule table:
    input:
        f"{RESULTS}/summary.parquet",
    output:
        report(
            f"{RESULTS}/summary.html",
            category=category("all numbers"),
            labels={"table": "summary"},
            caption="workflow/report/table.rst",
        ),
    log:
        f"{RESULTS}/logs/table.log",
    conda:
        "envs/figures.yaml"
    resources:
        **needs.resources(needs.small, SITE),
    params:
        job=dict(title=f"Every number in {RESULTS}", code=code("table")),
    script:
        "workflow/scripts/table.py"


rule compare:
    input:
        **compare_inputs(),
    output:
        f"{RESULTS}/comparisons.parquet",
    log:
        f"{RESULTS}/logs/compare.log",
    conda:
        "envs/flows.yaml"
    resources:
        **needs.resources(needs.small, SITE),
    params:
        job=compare_job,
    script:
        "workflow/scripts/compare.py"


rule figure:
    input:
        unpack(lambda wc: figure_inputs(wc.figure)),
    output:
        pdf=f"{RESULTS}/figures/{{figure}}.pdf",
        png=report(
            f"{RESULTS}/figures/{{figure}}.png",
            category=lambda wc: category(config["figures"][wc.figure]["category"]),
            labels=lambda wc: {"figure": title_of(wc.figure)},
            caption="workflow/report/figure.rst",
        ),
        column=f"{RESULTS}/figures/column/{{figure}}.pdf",
        caption=f"{RESULTS}/figures/captions/{{figure}}.rst",
    log:
        f"{RESULTS}/logs/figure/{{figure}}.log",
    conda:
        "envs/figures.yaml"
    resources:
        **needs.resources(needs.small, SITE),
    params:
        job=figure_job,
    script:
        "workflow/scripts/figure.py"


rule film:
    input:
        unpack(lambda wc: figure_inputs(wc.film)),
    output:
        gif=f"{RESULTS}/figures/{{film}}.gif",
        page=report(
            f"{RESULTS}/figures/{{film}}.html",
            category=lambda wc: category(config["figures"][wc.film]["category"]),
            labels=lambda wc: {"figure": f"{title_of(wc.film)} (film)"},
            caption="workflow/report/film.rst",
        ),
    log:
        f"{RESULTS}/logs/film/{{film}}.log",
    conda:
        "envs/figures.yaml"
    resources:
        **needs.resources(needs.small, SITE),
    params:
        job=film_job,
    script:
        "workflow/scripts/film.py"


onstart:  # not for a dry run, nor where nothing is to be done
    try:
        plan.write(MATRIX, config, Path(RESULTS))
    except OSError as error:
        raise WorkflowError(faults.unwritable(RESULTS, error)) from None


onerror:
    for sentence in faults.killed("".join(Path(path).read_text() for path in log)):
        print(sentence, file=sys.stderr)


onsuccess:
    if Path(RESULTS, "summary.parquet").exists():  # not if only a part was asked for
        shell("{PYTHON:q} {ROOT:q}/workflow/scripts/report.py {RESULTS:q}")
