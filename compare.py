"""Lists runs, or compares them: `python compare.py A B`; see `python compare.py --help`."""

if __name__ == "__main__":
    from engine.process.stop import end_at_once  # before anything that takes time

    end_at_once()


import sys

from engine.config.arguments import one_sentence, read_arguments, split_names


def main() -> None:
    names, rest = split_names(sys.argv[1:])
    settings = read_arguments("compare", rest, overrides=True)
    from engine.compare.command import run_compare  # only here: --help and mistakes need none of it

    run_compare(names, settings.pop("overrides"), settings)


if __name__ == "__main__":
    with one_sentence():
        main()
