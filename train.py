"""Trains what the config says: `python train.py experiment=NAME`; `python train.py --help` lists the names."""

if __name__ == "__main__":
    from engine.process.stop import end_at_once  # before anything that takes time

    end_at_once()


from contextlib import suppress
from pathlib import Path

import hydra
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from engine.config.resolvers import register_resolvers
from engine.config.start import mistakes_end_it, start
from engine.config.sweep_job import swept_settings
from engine.paths import CONF
from engine.process.startup import quick_imports, silence_idle_messages
from engine.run.config_file import has_features, in_sweep, refuse_used_directory, resolved, save_config
from engine.run.lock import one_writer

register_resolvers()  # here, as another program may call `main`


@one_writer
def train(cfg: DictConfig) -> float | None:
    """One run, from its config to its run directory. Returns the best value of the monitored metric, if any."""
    cfg.monitor = cfg.get("monitor") or {"metric": None, "mode": "min"}
    if not cfg.get("resume"):  # a resumed run's config.yaml is replaced only after its first save
        refuse_used_directory(Path(cfg.run_dir))
        with suppress(OmegaConfBaseException):  # early, in case the run is killed; preflight reports what is wrong
            save_config(cfg)
    with quick_imports():  # imported here, as --help, --cfg and tab completion need none of them
        from hydra.utils import instantiate
        from pytorch_lightning import seed_everything

        from engine.build import (
            build_callbacks,
            build_features,
            build_loggers,
            build_module,
            build_network,
            choose_engine,
            configured,
            in_trainer,
            weigh_classes,
        )
        from engine.checkpoints.checkpoint_io import AtomicCheckpointIO
        from engine.checkpoints.exact_state import ExactState
        from engine.checkpoints.warm_start import start_from, weights_of
        from engine.preflight.preflight import preflight
        from engine.process.stop import interruptible
        from engine.report.write import Collector, report_at_end
        from engine.run.data_facts import KeepConfig, classes_of, data_facts, data_name, has_test, set_up_ahead
        from engine.run.input_check import BatchLimits, check_input
        from engine.run.record import Record, collect_metrics, recall_training, restore_best
        from engine.speed.memory import keep_freed_memory
        from engine.terminal.panels import print_end, print_start

        silence_idle_messages()
        keep_freed_memory()
        preflight(cfg, swept_settings())
    with interruptible(cfg), Record(cfg) as record:
        datamodule = set_up_ahead(instantiate(cfg.get("datamodule")))
        record.name_data(**data_name(datamodule), classes=classes_of(datamodule))

        seed_everything(cfg.seed, verbose=False)
        weigh_classes(cfg, datamodule)
        network = choose_engine(
            cfg, build_network(cfg, weights_of(cfg, record.checkpoint), shared=in_sweep() and has_features(cfg))
        )
        config = resolved(cfg) if record.resume else save_config(cfg)
        module = build_module(cfg, network)
        if cfg.get("init_from") and record.checkpoint is None:
            start_from(configured(module), Path(cfg.init_from))
        keep_config = KeepConfig(module, config | data_facts(cfg, datamodule), record.clock)
        check_input(cfg, module, keep_config.config["data"])
        if has_features(cfg):
            datamodule = build_features(cfg, datamodule, network)

        record.trainer = trainer = instantiate(
            cfg.trainer,
            _convert_="all",
            logger=build_loggers(cfg),
            callbacks=[
                *filter(None, [record.resume]),
                ExactState(),
                BatchLimits(),
                *build_callbacks(cfg),
                keep_config,
                Collector(**cfg.monitor),
            ],
            plugins=[
                AtomicCheckpointIO(
                    folders=record.checkpoint_folders, saved=record.resume.saved if record.resume else None
                ),
                *in_trainer(cfg, "plugins"),
            ],
        )
        print_start(record, datamodule, module, trainer)
        trainer.fit(module, datamodule, ckpt_path=record.checkpoint, weights_only=True)
        recall_training(record, module)
        record.metrics = collect_metrics(trainer, module) | restore_best(trainer, module, cfg.monitor)
        if has_test(datamodule, module) and not record.pruned:
            trainer.test(module, datamodule, verbose=False)
            record.metrics = collect_metrics(trainer) | record.metrics  # the training's own metrics win
        print_end(record)
    report_at_end(record)
    return record.metrics.get(f"best/{cfg.monitor.metric}")


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def main(cfg: DictConfig) -> float | None:
    if in_sweep():
        from engine.sweep.worker import run_apart

        # In its own process, so a crash ends only this job; this process never imports torch.
        return run_apart(cfg, task="train.train")
    with mistakes_end_it(cfg):
        return train(cfg)


if __name__ == "__main__":
    start(main)
