"""Mistakes in overrides, each with the message that it must get; `.*` stands for any text."""

FINETUNE = "experiment=transfer_finetune"
DIGITS = "experiment=lenet_nll"

MISTAKES: list[tuple[str, str]] = [
    ("+callback.x._target_=torch.nn.Identity", "callback.x._target_=torch.nn.Identity: is not a callback: it has no "),
    ("+logger.x._target_=torch.nn.Identity", "logger.x._target_=torch.nn.Identity: is not a logger: it has no log_"),
    ("trainer._target_=torch.nn.Identity", "trainer._target_=torch.nn.Identity: is not a trainer: it has no fit"),
    ("optimizer._target_=torch.nn.Identity", "optimizer._target_=torch.nn.Identity: is not an optimizer: it has no "),
    ("callback.best_checkpoint.mode={}", "callback.best_checkpoint.mode: must be "),
    (
        "+callback.best_checkpoint.train_time_interval=00:30:00",
        "callback.best_checkpoint.train_time_interval=00:30:00: must be a _target_ that makes a timedelta",
    ),
    (
        "trainer.num_nodes=2",
        "trainer.num_nodes=2: .* needs to know the other nodes: start the run with srun",
    ),
    ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val=-1: .* must be at least 0, or null for no clipping"),
    # Types
    ("trainer.max_epochs=ten", "trainer.max_epochs=ten: must be a whole number"),
    ("trainer.max_epochs=2.5", "trainer.max_epochs=2.5: must be a whole number"),
    ("optimizer.lr=fast", "optimizer.lr=fast: must be a number"),
    ("optimizer.lr=[1,2]", "optimizer.lr=[1,2]: must be a number"),
    ("optimizer.nesterov=sometimes", "optimizer.nesterov=sometimes: must be true or false"),
    ("seed=abc", "seed=abc: must be a whole number"),
    ("cache=maybe", "cache=maybe: must be true or false"),
    ("compile=[1]", "compile=[1]: must be true or false or a mapping"),
    ("datamodule.batch_size=4.5", "datamodule.batch_size=4.5: must be a whole number at least 1"),
    ("datamodule.data_dir=null", "datamodule.data_dir=null: must be text"),
    ("datamodule.mean=[a,b,c]", "datamodule.mean=[a,b,c]: must be a list of numbers or null"),
    ("trainer.precision=fp17", "trainer.precision=fp17: must be one of .*bf16-mixed"),
    ("trainer.precision=bf16-mixd", "trainer.precision=bf16-mixd: must be .*; did you mean bf16-mixed?"),
    ("scheduler.interval=epok", "scheduler.interval=epok: must be one of epoch | step; did you mean epoch?"),
    ("scheduler.scheduler.gamma=high", "scheduler.scheduler.gamma=high: must be a number"),
    (
        "datamodule.train_transform.transforms.0.size=big",
        "datamodule.train_transform.transforms[0].size=big: must be a ",
    ),
    # Ranges
    ("trainer.max_epochs=-5", "trainer.max_epochs=-5: .*must be a non-negative integer or -1"),
    ("trainer.devices=0", "trainer.devices=0: .*not a valid input"),
    ("trainer.limit_train_batches=-3", "trainer.limit_train_batches=-3: .*invalid value"),
    ("trainer.check_val_every_n_epoch=0", "trainer.check_val_every_n_epoch=0: .*must be at least 1"),
    ("trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches=0: .*must be at least 1"),
    ("optimizer.lr=-1", "optimizer.lr=-1: Invalid learning rate: -1"),
    ("optimizer.momentum=-0.5", "optimizer.momentum=-0.5: Invalid momentum value"),
    ("scheduler.scheduler.step_size=0", "scheduler.scheduler.step_size=0: .*by zero"),
    ("datamodule.batch_size=0", "datamodule.batch_size=0: must be a whole number at least 1"),
    ("datamodule.val_fraction=2", "datamodule.val_fraction=2: must be a number above 0 and below 1"),
    ("datamodule.num_workers=-1", "datamodule.num_workers=-1: must be a whole number at least 0"),
    ("features.augmentation_views=0", "features.augmentation_views=0: must be a whole number at least 1 or null"),
    ("features.precision=fp8", "features.precision=fp8: must be one of auto | 32 | bf16"),
    ("loss.label_smoothing=2", "loss.label_smoothing=2: label_smoothing must be between 0.0 and 1.0"),
    ("loss=mse_sum loss.reduction=summ", "loss.reduction=summ: summ is not a valid value for reduction"),
    ("callback.image_grids.max_images=0", "callback.image_grids.max_images=0: must be a whole number at least 1"),
    ("monitor.mode=maxx", "monitor.mode=maxx: must be one of max | min; did you mean max?"),
    (f"{DIGITS} datamodule.flip=left", "datamodule.flip=left: must be one of none | random | alternating"),
    ("network=lenet network.activation=ReLu", "network.activation=ReLu: unknown activation 'ReLu'; choose from"),
    (
        "experiment=transfer_finetune lightning_module.init=orthogonal",
        "lightning_module.init=orthogonal: would overwrite the pretrained weights: give null, or network.pre",
    ),
    (
        "scheduler=plateau scheduler.monitor=null",
        "scheduler.monitor=null: ReduceLROnPlateau needs a metric, such as scheduler.monitor=val/loss.",
    ),
    (
        "scheduler.monitor=val/loss",
        "scheduler.monitor=val/loss: StepLR uses no metric: give scheduler.monitor=null.",
    ),
    (
        "scheduler=cosine trainer.max_epochs=-1 trainer.max_steps=9 cache=false",
        "trainer.max_epochs=-1: the cosine needs a length: give trainer.max_epochs, or scheduler.interval=step",
    ),
    ("lightning_module.init=foo", "lightning_module.init=foo: unknown initialization 'foo'; choose from"),
    ("seed=-1", "seed=-1: must be a whole number from 0 to 4,294,967,295"),
    ("seed=20240101123", "seed=20240101123: must be a whole number from 0 to 4,294,967,295"),
    (
        "+loss.weight={_target_:torch.tensor,data:[1.,1.,1.]}",
        "loss.weight: .*weight tensor should be defined either for all 2 classes",
    ),
    (
        "+callback.x={_target_:pytorch_lightning.callbacks.EarlyStopping,monitor:val/acc,mode:maxx}",
        "callback.x.mode=maxx",
    ),
    (
        "monitor.metric=train/loss monitor.mode=min trainer.check_val_every_n_epoch=2",
        "monitor.metric=train/loss: the best epoch is only chosen after a validation, every 2 epochs: give trainer.c",
    ),
    # Names
    ("+optimizer.lrr=1", "optimizer.lrr=1: torch.optim.SGD takes no lrr; did you mean lr?"),
    (
        "+trainer.max_epoch=1",
        "trainer.max_epoch=1: pytorch_lightning.Trainer takes no max_epoch; did you mean max_epochs?",
    ),
    ("+datamodule.batchsize=1", "datamodule.batchsize=1: .* takes no batchsize; did you mean batch_size?"),
    (f"{DIGITS} +loss.weight=[1,2]", "loss.weight=[1,2]: weight tensor should be defined either for all 10 classes"),
    (f"{DIGITS} +loss.weight=[1,x]", "loss.weight=[1,x]: weight must be a list of numbers, one per class"),
    ("+network.substitut=x", "network.substitut=x: .* takes no substitut; did you mean substitute?"),
    ("+seeed=3", "seeed=3: there is no such key; did you mean seed?"),
    ("+monitor.metrc=x", "monitor.metrc=x: there is no such key; did you mean metric?"),
    ("+scheduler.intervall=x", "scheduler.intervall=x: there is no such key; did you mean interval?"),
    ("optimizer._target_=torch.optim.Adamm", "optimizer._target_=torch.optim.Adamm: .* did you mean Adam?"),
    ("network._target_=networks.lenett.LeNet", "network._target_=.*: networks has no lenett; did you mean lenet?"),
    ("network._target_=nets.lenet.LeNet", "network._target_=.*: there is no package nets"),
    ("network._target_=foo", "network._target_=foo: must be the dotted name of a class or function"),
    ("network=timm network.name=resnet81", "network.name=resnet81: timm has no network .* similar names: resnet18"),
    ("network.substitute=resnet81", "network.substitute=resnet81: there is no such network; did you mean resnet18?"),
    ("+callback.early_stoppin.patience=3", "callback.early_stoppin: has no _target_; did you mean early_stopping?"),
    ("monitor.metric=val/accuracy", "monitor.metric=val/accuracy: FeatureExtractor logs no such metric; .*val/acc?"),
    (
        "callback=[default,early_stopping] callback.early_stopping.monitor=val/los",
        "callback.early_stopping.monitor=val/los:",
    ),
    ("experiment=transfer_cross_validation monitor.metric=val/accstd", "monitor.metric=.*; did you mean val/acc_std?"),
    # What is missing
    ("network=timm", "network.name=???: must be given: network.name=…"),
    ("datamodule=image_folder", "datamodule.data_dir=???: must be given"),
    ("~network", "network: is required: give network=NAME; there are airbench"),
    ("~monitor.mode", "monitor.mode: is missing"),
    ("~datamodule.stand_in", "datamodule.stand_in: is missing: .*Hymenoptera needs .*auto"),
    ("~datamodule.batch_size", "datamodule.batch_size: is missing"),
    ("~scheduler.interval", "scheduler.interval: is missing: must be one of epoch | step"),
    ("callback=[progress_bar]", "callback: none saves the best epoch by val/acc: add best_checkpoint"),
    # No value
    ("optimizer.lr=", "optimizer.lr=: has no value; it must be a number"),
    ("seed=", "seed=: has no value; it must be a whole number"),
    ("datamodule.data_dir=", "datamodule.data_dir=: has no value; it must be text"),
    ("monitor.metric=", "monitor.metric=: has no value; FeatureExtractor logs no such metric"),
    # Nothing to train, or nothing to train on
    ("trainer.max_epochs=0", "trainer.max_epochs=0: trains nothing: max_epochs must be at least 1, or -1"),
    ("trainer.max_steps=0", "trainer.max_steps=0: trains nothing: max_steps must be at least 1, or -1"),
    ("trainer.limit_train_batches=0.0", "trainer.limit_train_batches=0.0: trains nothing: limit_train_batches must be"),
    ("trainer=gpu", "trainer.accelerator=gpu: torch .* finds no GPU here.*: give trainer=cpu"),
    ("trainer.accelerator=cuda", "trainer.accelerator=cuda: torch .* finds no GPU here"),
    ("trainer.accelerator=mps", "trainer.accelerator=mps: torch .* finds no mps device here"),
    ("trainer.devices=500", "trainer.devices=500: must be at most .* here: each is a process"),
    # What an experiment sets for its own choice
    (
        f"{DIGITS} network=resnet18",
        "network=resnet18: takes no in_channels, log_softmax, which experiment/lenet_nll.yaml sets for network=lenet, "
        "and the inputs of digits are of shape (1, 32, 32): choose another network, or drop these settings: "
        "~network.in_channels ~network.log_softmax",
    ),
    (
        "experiment=cifar10_airbench optimizer=adam",
        "optimizer=adam: takes no momentum, nesterov, which experiment/cifar10_airbench.yaml sets for optimizer=sgd: "
        "choose another optimizer, or drop these settings: ~optimizer.momentum ~optimizer.nesterov",
    ),
    (
        "experiment=cifar10_airbench network=lenet",
        "lightning_module.param_groups=.*; experiment/cifar10_airbench.yaml sets them for network=airbench",
    ),
    (
        f"{DIGITS} network=resnet18 network.in_channels=3 ~network.log_softmax",
        "network.in_channels=3: .* takes no in_c",
    ),
    # What does not go together
    ("network.num_classes=7", "network.num_classes=7: does not fit the data, whose datamodule.num_classes is 2"),
    ("lightning_module.num_classes=7", "lightning_module.num_classes=7: does not fit the data"),
    (
        "network=two_layer network.d_in=9 network.d_out=7",
        "network.d_out=7: does not fit lightning_module.num_classes, .*2",
    ),
    (
        "network=two_layer",
        "network.d_in=.*: refers to datamodule.d_in, which datamodule=hymenoptera does not have: give network.d_in",
    ),
    ("network=lenet", "network: LeNet has no backbone to freeze"),
    ("datamodule=cifar10", "cache=true: cached features need photos, and CIFAR10 has no digest (PhotoData in "),
    (
        "experiment=transfer_cross_validation cache=false",
        "cache=false: CrossValidator needs data with num_repeats, and ",
    ),
    (
        "+callback.rich={_target_:pytorch_lightning.callbacks.RichProgressBar} "
        "+callback.tqdm={_target_:pytorch_lightning.callbacks.TQDMProgressBar}",
        "callback.tqdm: callback.rich is a progress bar, too: remove it with ~callback.rich",
    ),
    ("run_dir=elsewhere", "run_dir=elsewhere: is set from hydra.run.dir: give that instead"),
    ("callback.last_checkpoint.dirpath=x", "callback.last_checkpoint.dirpath=x: a run resumes from .*: leave this out"),
    ("trainer.default_root_dir=x", "trainer.default_root_dir=x: is the run's directory: give hydra.run.dir instead"),
    ("trainer.default_root_dir=null", "trainer.default_root_dir=null: is the run's directory"),
    (
        "experiment=transfer_feature_extractor features.engine=null",
        "features.engine=null: must be one of auto | torch | ",
    ),
    ("optimizer.nesterov=null", "optimizer.nesterov=null: must be true or false"),
    (
        f'{FINETUNE} lightning_module.param_groups=[{{pattern:"^hed"}}]',
        "lightning_module.param_groups=.*'^hed' matches no",
    ),
    (
        f'{FINETUNE} lightning_module.param_groups=[{{pattern:"^head",lrr:1}}]',
        "lightning_module.param_groups[0].lrr=1: SGD",
    ),
]
