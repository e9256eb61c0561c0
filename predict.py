"""Predicts the classes of photos: `python predict.py run=DIR input=PATH`; see `python predict.py --help`."""

if __name__ == "__main__":
    from engine.process.stop import end_at_once  # before anything that takes time

    end_at_once()


import sys

from engine.config.arguments import one_sentence, read_arguments
from engine.process.startup import quick_imports


def main() -> None:
    settings = read_arguments("predict", sys.argv[1:])
    with quick_imports():  # imported here, as --help and mistakes do not need it
        from engine.results.prediction import predict
        from engine.run.failure import for_the_user

    with for_the_user():
        predict(settings.pop("run"), settings.pop("input"), **settings)


if __name__ == "__main__":
    with one_sentence():
        main()
