"""The options of `fil-profile`, and what each of its commands starts."""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NoReturn

from filprofiler._memory_settings import node_options
from filprofiler._node import CannotStart, become_node, check_bundle, check_python
from filprofiler._python_arguments import Program, UnknownOptionError, find_program
from filprofiler._sample import LEAST_MEAN, preload_lines, run_sampled
from filprofiler._sizes import parse_size

DEFAULT_OUTPUT = "fil-result"
READING_COMMANDS = ("report", "diff", "merge", "export", "serve", "recover")
"""What kernel/src/commands does."""

DESCRIPTION = """\
Fil shows which lines of a Python program, or of a notebook's cell, held the memory at its peak.
"""

EPILOG = """\
commands:
  run PROGRAM...      run a program and write a report of its memory at the peak. PROGRAM is what follows `python`
                      on a command line: script.py, -m module, -c code, a directory or archive with a __main__
                      module, or - for standard input, and the program's own arguments
  run --sample PROGRAM...
                      the same for jobs in production: a sample of its memory, at next to no cost, in the process that
                      the scheduler knows. A report at the end, on SIGUSR2 and every ten minutes; no browser, no word
  preload             show the environment by which every Python of an image or a scheduler samples itself; with
                      --workers, by which workers of a cluster can be profiled
  python ...          run Python, with any arguments; nothing is tracked until the program calls
                      filprofiler.api.profile()
  report REPORT       write the files of a report anew, and its top lines to the terminal
  diff BEFORE AFTER   compare two reports: what holds more, what less
  merge REPORT...     one report of many processes or days
  export REPORT       write a report in the format of speedscope, pprof or flamegraph tools, or as a table
  serve [DIR]         show reports in the browser of another machine
  recover DIR         make the reports of programs that were killed together with Fil, as in a container, from what
                      --keep-state DIR has kept
REPORT is a directory that was written here, or the profile.json in it. `fil-profile COMMAND --help` says more.

before:                           after:
  python script.py --size 3         fil-profile run script.py --size 3
  python -m package.module          fil-profile run -m package.module
  python -c "import pandas"         fil-profile run -c "import pandas"
  python -X dev script.py           fil-profile run -X dev script.py
  python server.py                  fil-profile python server.py    (which uses filprofiler.api)

The program runs as without Fil: same input and output, same terminal, same signals, same exit status. Fil's own lines
go to stderr and begin with =fil-profile=.

The report is written into a new directory, DIR/<local time>/, when the program ends, however it ends. For one while it
runs: kill -USR2 PID.

In continuous integration, `fil-profile run --max-peak 2GiB script.py` ends with status 54 if a program that succeeded
held more, and names the lines that did. For tests: @pytest.mark.limit_memory("100 MB"), `fil-profile python -m pytest`.

In Jupyter, choose the kernel "Python 3 with Fil" and write %%filprofile above a cell.

exit status:
  the program's own; 53 if it ran out of memory; 54 if it succeeded but held more than --max-peak; 1 if it could not be
  started; 2 if the command line is wrong or DIR can't be written.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status, unless this process has become another program's."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.version:
        sys.stdout.write(f"Fil {_version()}\n")
    elif options.license:
        sys.stdout.write(_license())
    elif options.command is None:
        parser.print_help()
    else:
        _start(parser, options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fil-profile",
        usage=(
            "fil-profile [options] run [--max-peak SIZE] [--keep-state DIR] [--no-children] [--exact-tree]\n"
            "                               PROGRAM [arguments]\n"
            "       fil-profile [options] run --sample [--job NAME] [--label NAME=VALUE] [--every SECONDS] "
            "[--mean SIZE] PROGRAM [arguments]\n"
            "       fil-profile [options] python [arguments]\n"
            "       fil-profile report|diff|merge|export|serve|recover [arguments]"
        ),
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        default=DEFAULT_OUTPUT,
        help="directory for reports (default: %(default)s)",
    )
    browser = parser.add_mutually_exclusive_group()
    browser.add_argument(
        "--no-browser",
        action="store_const",
        const="never",
        dest="browser",
        help="do not open the report in a browser",
    )
    browser.add_argument(
        "--open",
        action="store_const",
        const="always",
        dest="browser",
        help="open the report in a browser (default: if stderr is a terminal and there is a graphical display)",
    )
    parser.add_argument(
        "--disable-oom-detection",
        action="store_true",
        help="let the program run until the system has no memory left; the report tells of it all the same",
    )
    parser.add_argument(
        "--max-peak",
        metavar="SIZE",
        type=_size,
        help="with run: most memory that the program may hold, as 2GiB, 500MB or a number of bytes",
    )
    parser.add_argument(
        "--keep-state",
        metavar="DIR",
        help="keep the profile's state in DIR while the program runs, about 70 MiB: if the whole container is killed, "
        "`fil-profile recover DIR` makes the report",
    )
    parser.add_argument(
        "--no-children",
        action="store_true",
        help="track the program's own process only, and none that it starts",
    )
    parser.add_argument(
        "--exact-tree",
        action="store_true",
        help="make the peak of all processes together exact to the byte (default: within 128 KiB for each process, for "
        "less overhead)",
    )
    parser.add_argument("--version", action="store_true", help="show the version and end")
    parser.add_argument("--license", action="store_true", help="show the license and end")
    parser.add_argument(
        "command", nargs="?", choices=("run", "preload", "python", *READING_COMMANDS), help=argparse.SUPPRESS
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.set_defaults(browser="auto")
    return parser


def _start(parser: argparse.ArgumentParser, options: argparse.Namespace) -> NoReturn:
    from filprofiler._launch import launch

    if options.command in READING_COMMANDS:
        _read(options)
    if options.command == "preload":
        _show_preload(parser, options)
    sampling: dict[str, str] | None = None
    if options.command == "run":
        sampling = _take_run_options(parser, options)
    python_arguments: list[str] = [*_interpreter_options(), *options.arguments]
    node_arguments = ["launch", "--browser", options.browser]
    if options.command == "run":
        if options.arguments[:1] in (["--help"], ["-h"]):
            parser.print_help()
            sys.exit(0)
        _check_program(parser, python_arguments)
        if sampling is not None:
            if options.max_peak is not None:
                parser.error("run: --max-peak needs exact figures; leave --sample out")
            if options.keep_state is not None:
                parser.error("run: --keep-state is of exact profiles; samples report on a timer (--every)")
            run_sampled(python_arguments, {"FIL_PROFILE_OUTPUT": options.output, **sampling})
        node_arguments += ["--track-program", "--output", _checked_directory(parser, "-o", options.output)]
        if options.max_peak is not None:
            node_arguments += ["--max-peak", str(options.max_peak)]
    if options.keep_state is not None:
        _checked_directory(parser, "--keep-state", options.keep_state)
    try:
        check_python()
        check_bundle()
        node_arguments += node_options(
            disabled=options.disable_oom_detection,
            keep_state=options.keep_state,
            no_children=options.no_children,
            exact_tree=options.exact_tree,
        )
        launch(python_arguments, node_arguments=node_arguments)
    except CannotStart as reason:
        sys.stderr.write(f"=fil-profile= {reason}\n")
        sys.exit(1)


def _read(options: argparse.Namespace) -> NoReturn:
    try:
        check_bundle()
        output = ["--output", options.output] if options.command == "recover" else []
        become_node(options.command, *output, *options.arguments)
    except CannotStart as reason:
        sys.stderr.write(f"=fil-profile= {reason}\n")
        sys.exit(1)


_RUN_FLAGS = {"--sample": "sample", "--no-children": "no_children", "--exact-tree": "exact_tree"}
_RUN_OPTIONS = {
    "--max-peak": "an amount of memory, as in --max-peak 2GiB",
    "--keep-state": "a directory, as in --keep-state /var/tmp/fil",
    "--job": "a name, as in --job nightly-report",
    "--label": "a name and a value, as in --label team=data",
    "--every": "seconds, as in --every 600, or 0 for a report at the end only",
    "--mean": "an amount of memory, as in --mean 16KiB",
}
"""What stands between `run` and the program: the option, and what it needs. Python has none of these names."""


def _take_run_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> dict[str, str] | None:
    """Takes ours off `run --max-peak SIZE PROGRAM`. Returns the settings of `--sample`; None without it."""
    arguments: list[str] = options.arguments
    samples = False
    settings: dict[str, str] = {}
    labels: list[str] = []
    while arguments and (arguments[0] in _RUN_FLAGS or arguments[0].partition("=")[0] in _RUN_OPTIONS):
        name, equals, value = arguments.pop(0).partition("=")
        if name in _RUN_FLAGS:
            samples = samples or name == "--sample"
            setattr(options, _RUN_FLAGS[name], True)
            continue
        if not equals:
            if not arguments:
                parser.error(f"run: {name} needs {_RUN_OPTIONS[name]}")
            value = arguments.pop(0)
        if name == "--keep-state":
            options.keep_state = value
            continue
        try:
            if name == "--max-peak":
                options.max_peak = parse_size(value)
            elif name == "--mean":
                settings["FIL_PROFILE_MEAN"] = str(max(LEAST_MEAN, parse_size(value)))
            elif name == "--every":
                settings["FIL_PROFILE_INTERVAL"] = _seconds(value)
            elif name == "--label":
                labels.append(_label(value))
            else:
                settings["FIL_PROFILE_JOB"] = value
        except ValueError as problem:
            parser.error(f"run: {name}: {problem}")
    if labels:
        settings["FIL_PROFILE_LABELS"] = ",".join(labels)
    if not samples and settings:
        parser.error("run: --job, --label, --every and --mean are of --sample; add it")
    if samples and options.exact_tree:
        parser.error("run: --exact-tree is not for --sample, which follows one process each")
    return settings if samples else None


def _seconds(text: str) -> str:
    if not text.isascii() or not text.isdecimal():
        msg = f"{text!r} is not a whole number of seconds"
        raise ValueError(msg)
    return text


def _label(text: str) -> str:
    name, equals, _value = text.partition("=")
    if not name.strip() or not equals or "," in text:
        msg = f"{text!r} is not NAME=VALUE, without commas"
        raise ValueError(msg)
    return text


def _show_preload(parser: argparse.ArgumentParser, options: argparse.Namespace) -> NoReturn:
    if options.arguments not in ([], ["--workers"]):
        parser.error("preload: it takes no arguments but --workers")
    try:
        check_python()
        check_bundle()
        sys.stdout.write(preload_lines("workers" if options.arguments else "sample"))
    except CannotStart as reason:
        sys.stderr.write(f"=fil-profile= {reason}\n")
        sys.exit(1)
    sys.exit(0)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as problem:
        # Of a ValueError, argparse shows only what was given.
        raise argparse.ArgumentTypeError(str(problem)) from None


def _check_program(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    try:
        program = find_program(arguments)
    except UnknownOptionError as problem:
        parser.error(f"run: {problem}")
    if program is None:
        parser.error("run: no program is given, as in `fil-profile run script.py`")
    if program.kind == "file" and not os.path.exists(program.name):  # noqa: PTH110 (bytes that are no text pass through)
        # Python says it in its own words.
        os.execv(sys.executable, [sys.executable, *arguments])


def _interpreter_options() -> tuple[str, ...]:
    """Of `python -X dev -m filprofiler`: what the user wants for the program."""
    # Not of the script fil-profile, whose first line may hold the packager's.
    try:
        ourselves: Program | None = find_program(sys.orig_argv[1:])
    except UnknownOptionError:
        return ()
    return ourselves.options if ourselves is not None and ourselves.kind == "module" else ()


def _checked_directory(parser: argparse.ArgumentParser, option: str, directory: str) -> str:
    """The directory, if it can be written or made: nobody wants to learn at the end of a long run that it can't."""
    try:
        directory.encode()
    except UnicodeEncodeError:
        parser.error(f"{option} {directory!r}: the name is not valid UTF-8; choose another")
    purpose = "reports" if option == "-o" else "the profile's state"
    try:
        _try_directory(Path(directory).absolute())
    except OSError as error:
        parser.error(
            f"{option} {directory}: {purpose} can't be written there: {error.strerror}; choose another directory"
        )
    return directory


def _try_directory(directory: Path, tries: int = 3) -> None:
    """Makes the directory and a file in it, and takes all away again; raises OSError if that is not possible."""
    try:
        missing = [place for place in (directory, *directory.parents) if not place.exists()]
        with ExitStack() as made:
            for place in reversed(missing):
                place.mkdir()
                made.callback(_remove_if_empty, place)
            try:
                # Without a name, so nothing is left of it.
                os.close(os.open(directory, os.O_TMPFILE | os.O_WRONLY))
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                    raise
    except (FileExistsError, FileNotFoundError):
        # Another of us, started at the same time, made or removed it.
        if tries == 1:
            raise
        _try_directory(directory, tries - 1)


def _remove_if_empty(directory: Path) -> None:
    with suppress(OSError):
        directory.rmdir()


def _version() -> str:
    from importlib.metadata import version

    return version("filprofiler")


def _license() -> str:
    from importlib.metadata import distribution

    files = distribution("filprofiler").files or []
    texts = [path.read_text() for path in files if path.name == "LICENSE"]
    return texts[0] if texts else "Apache License 2.0: see the file LICENSE of the source distribution.\n"
