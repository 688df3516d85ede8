"""The command line: run, sweep and map workflows, and look at the runs that are kept."""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.ledger.recorder import to_line
from comfykit_jupyter.explore.points.axes import Seeds
from comfykit_jupyter.explore.points.notation import parse_axis
from comfykit_jupyter.kit.exploring_kit import DEFAULT_RUNS
from comfykit_jupyter.kit.kit import ComfyKit
from comfykit_jupyter.workflow.errors import one_line, short_repr

if TYPE_CHECKING:
    from comfykit_jupyter.explore.rows.row import Row
    from comfykit_jupyter.explore.sweeps.sweep import Sweep

_OPTIONS = {
    "skip_invalid=True": "--skip-invalid",
    "start(sure=True)": "--sure",
    "retry(stale=True)": "--retry",
    "retry()": "--retry",
    "dry_run=False does it": "--yes does it",
}
"""The options of this program for what messages name in Python."""
DONE, FAILED, NOTHING_SENT, PAUSED, INTERRUPTED = 0, 1, 2, 3, 130
MAX_SPEC_BYTES = 64 << 20
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

_EPILOG = """\
values:
  NAME=VALUE              a value of the workflow: prompt="a fox", steps=20, image=fox.png
  cfg=3,4.5,6             in a sweep, several values of a number or choice; a text is always one value
  steps=10..30:5          a range with its step
  seed=*4                 four seeds, drawn once

examples:
  comfykit-jupyter run portrait.json prompt="a fox" seed=7 --out pictures
  comfykit-jupyter sweep portrait.json cfg=3,4.5,6 seed=*4 --plan
  comfykit-jupyter sweep portrait.json cfg=3,4.5,6 --servers http://gpu-a:8188,http://gpu-b:8188
  comfykit-jupyter sweep spec.json --out pictures --name "{cfg}-{seed}"
  comfykit-jupyter map upscale.json image=photos scale=2 --out large --name "{image.stem}"
  comfykit-jupyter runs ls --star
  comfykit-jupyter runs bundle portrait foxes.zip

A SPEC is a JSON file:
  {"workflow": "portrait.json", "values": {"prompt": "a fox"}, "over": {"cfg": [3, 4.5], "seed": "*4"}}
Instead of axes, "over" may be a list of objects: the values of one point each.

Runs are kept in ./runs. The same command sends only new points when it is repeated.
Exit code: 0 all completed, 1 some failed, 2 nothing was sent, 3 paused after failures, 130 interrupted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # on Windows, what goes into a file or a pipe lacks most characters
            stream.reconfigure(errors="backslashreplace")
    options = _build_parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.do
    try:
        return command(options)
    except (ComfyKitError, OSError) as error:
        print(f"comfykit-jupyter: {_to_shell(str(error))}", file=sys.stderr)
        return NOTHING_SENT
    except KeyboardInterrupt:
        return INTERRUPTED


def _to_shell(text: str) -> str:
    """Return a message with the options of this program in place of Python's."""
    for python, option in _OPTIONS.items():
        text = text.replace(python, option)
    return text


def _build_parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--server", metavar="URL", help="the ComfyUI server (default: COMFYUI_BASE_URL, else this machine's)"
    )
    common.add_argument(
        "--runs", metavar="FOLDER", type=Path, help="where runs are kept (default: COMFYKIT_RUNS, else ./runs)"
    )
    common.add_argument("--json", action="store_true", help="print one line of JSON for each run")
    saving = argparse.ArgumentParser(add_help=False)
    saving.add_argument("--out", metavar="FOLDER", type=Path, help="save the outputs here")
    saving.add_argument(
        "--name", metavar="PATTERN", help='names of the files, such as "{cfg}-{seed}" or "{image.stem}"'
    )
    planning = argparse.ArgumentParser(add_help=False)
    planning.add_argument("--plan", action="store_true", help="print what would run, and send nothing")
    planning.add_argument(
        "--sure", action="store_true", help="start even if there are more than 2,000 points, or it takes over two hours"
    )
    planning.add_argument(
        "--retry",
        action="store_true",
        help="run points again that failed, or whose model file was replaced by another of the same name",
    )
    planning.add_argument(
        "--servers",
        metavar="URL,URL",
        help="several servers instead of --server: an idle one gets the next points",
    )
    planning.add_argument("--skip-invalid", action="store_true", help="skip points with wrong values")

    parser = argparse.ArgumentParser(
        prog="comfykit-jupyter",
        description="Run ComfyUI workflows from a shell. All runs are kept; in a notebook they are kit.runs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    run = commands.add_parser("run", parents=[common, saving], help="run a workflow once")
    sweep = commands.add_parser("sweep", parents=[common, saving, planning], help="run all combinations of some values")
    map_ = commands.add_parser(
        "map", parents=[common, saving, planning], help="run a workflow for each file of a folder"
    )
    for each, what in ((run, "WORKFLOW"), (sweep, "WORKFLOW or SPEC"), (map_, "WORKFLOW")):
        each.add_argument("workflow", metavar=what, help="a file, a URL, or an image that carries a workflow")
        each.add_argument("values", metavar="NAME=VALUE", nargs="*", help="values by parameter name")
    run.set_defaults(do=_run)
    sweep.set_defaults(do=_start_sweep)
    map_.set_defaults(do=_run_map)
    runs = commands.add_parser("runs", help="list, export or delete kept runs").add_subparsers(
        metavar="WHAT", required=True
    )
    listing = runs.add_parser("ls", parents=[common], help="list runs, newest first")
    table = runs.add_parser(
        "csv",
        parents=[common],
        help="print all runs as CSV; texts that a spreadsheet would compute, such as =1+1, begin with '",
    )
    for each in (listing, table):
        each.add_argument("--star", action="store_true", help="only starred runs")
        each.add_argument("--text", help="only runs with this text in their values or notes")
        each.add_argument("--workflow", dest="only", help="only runs of this workflow")
    listing.add_argument("-n", type=int, default=20, help="maximum number of runs (default: 20)")
    listing.set_defaults(do=_list_runs)
    table.set_defaults(do=_print_csv)
    bundle = runs.add_parser("bundle", parents=[common], help="write a sweep to one ZIP file, for another machine")
    bundle.add_argument(
        "sweep", metavar="SWEEP", help="name or ID of the sweep, or name of its workflow if it has none"
    )
    bundle.add_argument("file", metavar="FILE.zip", type=Path, help="the file; an existing one is replaced")
    bundle.set_defaults(do=_write_bundle)
    prune = runs.add_parser("prune", parents=[common], help="delete originals of old runs; rows and thumbnails stay")
    prune.add_argument(
        "--older", default="30d", metavar="AGE", help="age of the runs, such as 30d or 12h (default: 30d)"
    )
    prune.add_argument("--yes", action="store_true", help="delete; without it, only print what would be deleted")
    prune.set_defaults(do=_prune)
    return parser


def _open_kit(options: argparse.Namespace) -> ComfyKit:
    if several := getattr(options, "servers", None):
        if options.server is not None:
            raise ComfyKitError("--server and --servers: give one of them")
        addresses = [each.strip() for each in several.split(",") if each.strip()]
        kit = ComfyKit(addresses, runs=options.runs, raise_on_error=False)
    else:
        kit = ComfyKit(options.server, runs=options.runs, raise_on_error=False)
    return kit if options.runs is not None or kit.has_runs_folder else kit.options(runs=DEFAULT_RUNS)


def _parse_values(given: Sequence[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise ComfyKitError(f"{short_repr(text)}: give values as NAME=VALUE")
        if name in values:
            raise ComfyKitError(f"{one_line(name)} is given twice")
        values[name] = value
    return values


def _run(options: argparse.Namespace) -> int:
    kit = _open_kit(options)
    result = kit.run(options.workflow, _parse_values(options.values))
    if result.prompt_id is None:
        print(f"comfykit-jupyter: {result.msg}", file=sys.stderr)
        return NOTHING_SENT
    row = next((each for each in kit.runs if each.prompt_id == result.prompt_id), None)
    if row is not None:
        _print_row(row, as_json=options.json)
    else:  # the folder of runs can't be written: that was said when the run was sent
        print(f"comfykit-jupyter: {result.prompt_id} {result.status}, not kept", file=sys.stderr)
    if options.out is not None and result.media:
        for path in result.save(f"{options.out.as_posix()}/{options.name or '{workflow}-{index}'}"):
            print(path, file=sys.stderr)
    return DONE if result.status == "completed" else FAILED


def _start_sweep(options: argparse.Namespace) -> int:
    kit = _open_kit(options)
    workflow, values = options.workflow, dict[str, Any](_parse_values(options.values))
    over: Any = {}
    if (spec := _read_spec(Path(workflow))) is not None:
        workflow, over = spec["workflow"], spec["over"]
        values = {**spec["values"], **values}
    if isinstance(over, list):  # rows of paired values
        return _run_sweep(kit.sweep(workflow, values, over=over), options)
    kinds = {field.name: field.kind for field in kit.fields(workflow)}
    for name, value in [*values.items(), *over.items()]:
        if isinstance(value, str):
            found = parse_axis(name, value, kinds.get(name, "number"))
            if not isinstance(found, str):
                values.pop(name, None)
                over[name] = found if isinstance(found, Seeds) else [_to_number(each) for each in found]
    if not over:
        raise ComfyKitError("give several values for a parameter: cfg=3,4.5,6, steps=10..30:5 or seed=*4")
    return _run_sweep(kit.sweep(workflow, values, over=over), options)


def _to_number(text: str) -> int | float | str:
    """Return a number that was typed as one, and everything else as text: the value is checked in any case."""
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(text)
    return text


def _read_spec(path: Path) -> dict[str, Any] | None:
    """Return what a file says of a sweep; None if it is something else, such as a workflow."""
    try:
        if path.suffix != ".json" or path.stat().st_size > MAX_SPEC_BYTES:
            return None
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None  # the kit says what is wrong with it
    if not isinstance(found, dict) or not isinstance(found.get("workflow"), str) or "over" not in found:
        return None
    values, over = found.get("values") or {}, found["over"]
    if not isinstance(values, dict) or not isinstance(over, (dict, list)):
        raise ComfyKitError(f"{one_line(str(path))}: values must be an object, and over an object or a list of objects")
    beside = path.parent / found["workflow"]
    workflow = str(beside) if beside.is_file() else found["workflow"]
    return {"workflow": workflow, "values": values, "over": over}


def _run_map(options: argparse.Namespace) -> int:
    return _run_sweep(_open_kit(options).map(options.workflow, _parse_values(options.values)), options)


def _run_sweep(sweep: Sweep, options: argparse.Namespace) -> int:
    print(_to_shell(str(sweep.plan)), file=sys.stderr)
    if options.plan:
        return DONE if not sweep.plan.problems else NOTHING_SENT
    sweep.start(sure=options.sure, skip_invalid=options.skip_invalid)
    sweep.wait()
    if options.retry and not sweep.paused:
        sweep.retry(stale=True).wait()
    for point in sweep.points:
        if options.json and sweep.get_run_id(point.index):
            line = {"point": point.index, "labels": to_line(point.labels), **_describe(sweep[point.index])}
            print(json.dumps(line))
    print(sweep.summary, file=sys.stderr)
    if options.out is not None:
        for path in sweep.export(options.out, options.name or "{index}"):
            print(path, file=sys.stderr)
    if sweep.paused:
        return PAUSED
    return DONE if all(state == "completed" for state in sweep.states) else FAILED


def _list_runs(options: argparse.Namespace) -> int:
    rows = _find_rows(options)
    for row in rows[: max(options.n, 0)]:
        _print_row(row, as_json=options.json)
    if not rows:
        print("no runs found", file=sys.stderr)
    return DONE


def _find_rows(options: argparse.Namespace) -> Any:
    rows = _open_kit(options).runs
    return rows.where(star=options.star or None, text=options.text, workflow=options.only)


def _print_csv(options: argparse.Namespace) -> int:
    records = _find_rows(options).records()
    names = list(dict.fromkeys(name for record in records for name in record))
    writer = csv.writer(sys.stdout, lineterminator="\n")  # which becomes the system's own
    writer.writerow(map(_to_cell, names))
    writer.writerows([_to_cell(record.get(name)) for name in names] for record in records)
    return DONE


def _to_cell(value: Any) -> Any:
    """Return a value for CSV. A spreadsheet computes texts such as `=1+1`: and one from a server might do harm."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def _write_bundle(options: argparse.Namespace) -> int:
    print(_open_kit(options).runs.bundle(options.sweep, options.file))
    return DONE


def _prune(options: argparse.Namespace) -> int:
    print(_to_shell(_open_kit(options).runs.prune(options.older, dry_run=not options.yes)))
    return DONE


def _describe(row: Row) -> dict[str, Any]:
    at = row.at
    return {
        "id": row.id,
        "at": None if at is None else at.isoformat(),
        "workflow": row.workflow_name,
        "status": row.status,
        "error": row.error,
        "seconds": row.seconds,
        "params": row.params,
        "files": [str(media) for media in row.media],
        "texts": row.texts,
    }


def _print_row(row: Row, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_describe(row)))
        return
    at = "" if row.at is None else f"{row.at.astimezone():%Y-%m-%d %H:%M}"
    values = ", ".join(f"{one_line(name)}={short_repr(value, 40)}" for name, value in row.params.items())
    print(f"{row.id[:8]}  {at}  {'★' if row.star else ' '}  {one_line(row.workflow_name)}  {row.status}  {values}")
    for line in [row.error, *(str(media) for media in row.media), *row.texts]:
        if line:
            print(f"          {one_line(line, 200)}")
