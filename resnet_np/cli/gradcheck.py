"""resnet-np gradcheck"""

import argparse
import functools
import json
import textwrap
from typing import TYPE_CHECKING

from resnet_np.cli import options as shared
from resnet_np.errors import GradientError

if TYPE_CHECKING:
    from resnet_np.gradcheck.planting import Verdict
    from resnet_np.gradcheck.table import Row

HELP = "check every gradient against finite differences"
KERNELS = 3  # named on a row; a net, which uses them all, names them on a second one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mutants", action="store_true", help="check the checks: plant sixteen classic bugs, see each one caught")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    shared.add_machine(parser)


def run(options: argparse.Namespace) -> None:
    shared.apply_machine(options)
    (_mutants if options.mutants else _table)(as_json=options.json)


def _table(*, as_json: bool) -> None:
    from resnet_np import backend
    from resnet_np.gradcheck import rules, table
    from resnet_np.training import report

    say = (lambda *_: None) if as_json else functools.partial(print, flush=True)
    say(f"Backend {backend.current()}, float64: gradients written by hand against centred finite differences.")
    say(f"\n{'':38}{'compared':>9}{'worst':>9}{'bar':>7}   kernels ({backend.FILES[backend.current()]}.py)")
    rows: list[table.Row] = []
    holding: dict[str, str] = {}
    with report.compiling_announced(say):
        for subject in table.subjects():
            rows.append(table.run(subject))
            say(_line(rows[-1]))
        say("\nWhat must hold and shows in no gradient:")
        for rule in rules.RULES:
            name, holding[name] = rules.name_of(rule), rules.broken(rule)
            say(f"{name:61}   {'WRONG: ' + holding[name] if holding[name] else 'ok'}")
    failed = [row.name for row in rows if not row.passes] + [name for name, why in holding.items() if why]
    if as_json:
        print(json.dumps({"backend": backend.current(), "passes": not failed, "gradients": [row.to_json() for row in rows],
                          "rules": [{"name": name, "passes": not why, "message": why} for name, why in holding.items()]}))
    if failed:
        raise GradientError(f"gradcheck: {len(failed)} of {len(rows) + len(holding)} checks failed: {', '.join(failed)}")
    compared = sum(report.differences for row in rows for report in row.reports)
    say(f"\nAll {len(rows)} gradients agree with {compared:,} finite differences, and all {len(holding)} rules hold.")


def _line(row: "Row") -> str:
    if row.failure:
        return f"{row.name:38}WRONG: {row.failure}"
    compared = sum(report.differences for report in row.reports)
    line = f"{row.name:38}{compared:9,}{row.worst.error:9.0e}{row.bar:7.0e}"
    kernels = " ".join(kernel.partition("/")[0] for kernel in row.kernels)
    line += f"\n{'':41}{kernels}" if len(row.kernels) > KERNELS else f"   {kernels}"
    return line if row.passes else f"{line}\n    {row.worst.describe(row.bar)}"


def _mutants(*, as_json: bool) -> None:
    from resnet_np.gradcheck import planting

    say = (lambda *_: None) if as_json else print
    say("Bugs are planted in copies of the package, one in a copy; each must be caught. A few minutes.\n")
    found = []
    for verdict in planting.verdicts():
        found.append(verdict)
        say(_verdict_lines(verdict))
    survivors = [verdict.mutant.title for verdict in found if not verdict.caught_by]
    bugs = {verdict.mutant.bug for verdict in found}
    if as_json:
        print(json.dumps({"passes": not survivors, "mutants": [verdict.to_json() for verdict in found]}))
    if survivors:
        raise GradientError(f"gradcheck: {len(survivors)} of {len(found)} planted bugs were not caught: {'; '.join(survivors)}")
    named = {verdict.mutant.bug for verdict in found if verdict.cause}
    say(f"All {len(found)} plantings of {len(bugs)} bugs were caught, and the cause was named for {len(named)} of them.")


def _verdict_lines(verdict: "Verdict") -> str:
    mutant = verdict.mutant
    caught = f"caught by: {verdict.caught_by}" if verdict.caught_by else "NOT CAUGHT"
    message = textwrap.fill(verdict.message, 100, initial_indent="    ", subsequent_indent="    ")
    return f"{mutant.bug:2}  {mutant.title} ({mutant.file})\n    {caught}\n{message}\n"
