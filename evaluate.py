"""Evaluates a trained network: `python evaluate.py run=DIR split=val`; see `python evaluate.py --help`."""

if __name__ == "__main__":
    from engine.process.stop import end_at_once  # before anything that takes time

    end_at_once()


import sys

from engine.config.arguments import one_sentence, read_arguments
from engine.process.activity import activity
from engine.process.startup import quick_imports


def main() -> None:
    settings = read_arguments("evaluate", sys.argv[1:], overrides=True)
    with quick_imports():  # imported here, as --help and mistakes do not need it
        from engine.results.cross_validation import judge
        from engine.results.evaluation_report import report, report_calibration
        from engine.run.failure import for_the_user

    with for_the_user():
        wants_calibration = settings.pop("calibrate")
        with activity("evaluating"):
            evaluation = judge(settings.pop("run"), **settings)
        if evaluation is not None:
            report(evaluation)
            if wants_calibration:
                report_calibration(evaluation)


if __name__ == "__main__":
    with one_sentence():
        main()
