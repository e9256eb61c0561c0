"""Evaluates a trained network: `python evaluate.py run=DIR split=val`; see `python evaluate.py --help`."""

import sys

import hydra
from omegaconf import DictConfig

from engine.config.arguments import gather_overrides, given_path, quote_values, told_in_a_sentence
from engine.config.start import clear_errors
from engine.startup import quick_imports


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    with told_in_a_sentence():
        directory = given_path(cfg, "run", "the directory of a run, logs/<experiment>/<time>")
        with quick_imports():  # only here: --help needs none of it
            from engine.results.evaluation import evaluate
            from engine.results.evaluation_report import report
            from engine.run.failure import for_the_user

        with for_the_user():
            evaluation = evaluate(directory, split=cfg.split, checkpoint=cfg.checkpoint, overrides=cfg.overrides)
            if evaluation is not None:
                report(evaluation)


if __name__ == "__main__":
    sys.argv[1:] = gather_overrides(quote_values(sys.argv[1:], ["run"]), "evaluate")
    with clear_errors("evaluate"):
        main()
