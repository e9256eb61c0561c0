"""Looks at photos before training: `python check_data.py data_dir=FOLDER`; see `python check_data.py --help`."""

if __name__ == "__main__":
    from engine.process.stop import end_at_once  # before anything that takes time

    end_at_once()


import sys

from engine.config.arguments import one_sentence, read_arguments
from engine.config.resolvers import register_resolvers
from engine.process.startup import quick_imports


def main() -> None:
    settings = read_arguments("check_data", sys.argv[1:])
    register_resolvers()
    with quick_imports():  # only here: --help and mistakes need none of it
        from engine.data_check.check import check
        from engine.data_check.report import output_folder, report
        from engine.run.failure import for_the_user

    with for_the_user():
        output = settings.pop("output")
        found = check(**settings)
        report(found, output_folder(output, found.name))


if __name__ == "__main__":
    with one_sentence():
        main()
