"""Writes a run's page, report.html: `python report.py run=DIR`; see `python report.py --help`."""

if __name__ == "__main__":
    from engine.process.stop import end_at_once  # before anything that takes time

    end_at_once()


import sys

from engine.config.arguments import one_sentence, read_arguments
from engine.process.activity import activity
from engine.process.startup import quick_imports


def main() -> None:
    settings = read_arguments("report", sys.argv[1:])
    with quick_imports():  # only here: --help and mistakes need none of it
        from engine.report.write import report
        from engine.run.failure import for_the_user

    with for_the_user(), activity("writing the report"):
        page = report(settings["run"], settings["grad_cam"])
    print(page)


if __name__ == "__main__":
    with one_sentence():
        main()
