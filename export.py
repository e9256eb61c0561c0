"""Writes a trained network to a file: `python export.py run=DIR format=onnx`; see `python export.py --help`."""

if __name__ == "__main__":
    from engine.process.stop import end_at_once  # before anything that takes time

    end_at_once()


import sys

from engine.config.arguments import one_sentence, read_arguments
from engine.process.activity import activity
from engine.process.startup import quick_imports


def main() -> None:
    settings = read_arguments("export", sys.argv[1:])
    with quick_imports():  # imported here, as --help and mistakes do not need it
        from engine.results.export import export
        from engine.run.failure import for_the_user

    with for_the_user(), activity("exporting"):
        exported = export(settings.pop("run"), **settings)
    print(f"{exported.path}: largest difference {exported.difference:.2g} on {exported.inputs}")


if __name__ == "__main__":
    with one_sentence():
        main()
