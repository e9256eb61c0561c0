"""Where a sweep's jobs run: several at once on this machine, or on other machines. Selected by conf/launcher/.

Hydra imports it at every start, through hydra_plugins/: nothing heavy at the top.
"""

import logging
import multiprocessing
import os
import pickle
import platform
import secrets
import sys
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from engine.config.sweep_job import one_of_each_kind
from engine.errors import UserError
from engine.paths import ROOT
from engine.process.stop import end_with
from engine.run.config_file import has_features, most_processes, usable_cores
from engine.sweep.composition import JobConfigs

logger = logging.getLogger(__name__)

Wait = Callable[[], JobReturn]

MEMORY_OF_A_JOB = 2 << 30  # bytes: an upper bound for training on cached features


@dataclass
class Job:
    """One job of a sweep, with everything it needs to run in another process; calling it there runs the job."""

    singletons: bytes  # a pickle of Hydra's state
    sweep: bytes  # a pickle of what all jobs share
    overrides: Sequence[str]
    number: int
    folder: str  # relative paths start from it
    owner: int | None  # the sweep's process, if it is on the same machine

    def __call__(self) -> JobReturn:
        if self.owner is not None:
            end_with(self.owner)
        os.chdir(self.folder)
        multiprocessing.set_start_method("spawn", force=True)  # the job's processes do not know loky's method
        hydra_context, task_function, master, configs = _begun(self.singletons, self.sweep)
        config = configs.load_sweep_config(master, self.overrides)
        with open_dict(config):
            config.hydra.job.id = f"{config.hydra.job.name}_{self.number}"
            config.hydra.job.num = self.number
        return run_job(
            hydra_context=hydra_context,
            task_function=task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )

    def checkpoint(self) -> Any:
        """What submitit requeues on a timeout or preemption: the same job, which then resumes the run."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@lru_cache(maxsize=1)
def _begun(singletons: bytes, sweep: bytes) -> tuple[HydraContext, TaskFunction, DictConfig, JobConfigs]:
    """The state that all jobs of a sweep share, cached for a process that runs several of them."""
    setup_globals()
    # Hydra's plug-in modules are executed again here, so nothing that holds their classes may be loaded before.
    Singleton.set_state(pickle.loads(singletons))
    hydra_context, task_function, master = pickle.loads(sweep)
    return hydra_context, task_function, master, JobConfigs(hydra_context.config_loader)


class ElsewhereLauncher(Launcher):
    """Runs jobs in other processes, each of which can import this project and access the sweep's directory.

    A job that is lost with its process or machine returns None, like a failed one, and does not affect other jobs.
    """

    config: DictConfig
    task_function: TaskFunction
    hydra_context: HydraContext
    is_here = False  # whether the jobs run on the sweep's machine and should end with it

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        import cloudpickle

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        # New processes have neither this script's folder nor the tests' on their path.
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
        state = cloudpickle.dumps(Singleton.get_state())
        sweep = cloudpickle.dumps((self.hydra_context, self.task_function, self.config))
        place = (str(Path.cwd()), os.getpid() if self.is_here else None)
        jobs = [Job(state, sweep, o, number, *place) for number, o in enumerate(job_overrides, initial_job_idx)]
        logger.info("%s: %d jobs", type(self).__name__, len(jobs))
        return [self._returned(job, wait) for job, wait in zip(jobs, self.start(jobs), strict=True)]

    @abstractmethod
    def start(self, jobs: Sequence[Job]) -> Iterable[Wait]:
        """Starts the jobs and returns a function for each that waits for its end and raises if the job was lost."""

    def _returned(self, job: Job, wait: Wait) -> JobReturn:
        try:
            return wait()
        except Exception as error:
            logger.error("Job %d was lost: %s: %s", job.number, type(error).__name__, error)
            lost = JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
            lost.return_value = None
            return lost


class JoblibLauncher(ElsewhereLauncher):
    """Runs `n_jobs` processes on this machine, among which its cores are divided.

    With `n_jobs=1`, Hydra's basic launcher runs one job after another, each with all cores. With None, as many jobs as
    cores run at once if all of them train a head on cached features without a GPU, since such a job cannot use more
    than one core; otherwise one at a time.
    """

    is_here = True

    def __init__(self, *, n_jobs: int | None) -> None:
        self.n_jobs = n_jobs
        self.at_once = 1  # number of jobs
        # Kept for the next jobs that a search proposes:
        self._configs: Any = None
        self._pool: ThreadPoolExecutor | None = None
        self._own, self._starting = threading.local(), threading.Lock()

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        self.at_once = self.n_jobs or (self._suitable(job_overrides) if len(job_overrides) > 1 else 1)
        if self.at_once > (limit := most_processes()):
            raise UserError(f"hydra.launcher.n_jobs={self.at_once}: must be at most {limit} here: each is a process.")
        if min(self.at_once, len(job_overrides)) > 1:
            return super().launch(job_overrides, initial_job_idx)
        basic = BasicLauncher()
        self._configs = self._configs or JobConfigs(self.hydra_context.config_loader)
        context = HydraContext(config_loader=self._configs, callbacks=self.hydra_context.callbacks)
        basic.setup(hydra_context=context, task_function=self.task_function, config=self.config)
        return basic.launch(job_overrides, initial_job_idx)

    def start(self, jobs: Sequence[Job]) -> Iterable[Wait]:
        self._pool = self._pool or ThreadPoolExecutor(self.at_once)
        return [self._pool.submit(self._run_apart, job).result for job in jobs]

    def _run_apart(self, job: Job) -> JobReturn:
        """Runs a job in this thread's own process; a lost process is replaced for the next job."""
        own = self._own
        with self._starting:  # loky imports its parts, which import each other: one thread at a time
            from joblib.externals.loky import ProcessPoolExecutor
            from joblib.externals.loky.process_executor import BrokenProcessPool
        try:
            with self._starting:
                if not hasattr(own, "process"):
                    threads = str(max(1, usable_cores() // self.at_once))
                    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
                    own.process = ProcessPoolExecutor(1, timeout=None, env=dict.fromkeys(names, threads))
                running = own.process.submit(job)
            returned: JobReturn = running.result()
        except BrokenProcessPool:
            del own.process
            raise
        return returned

    def _suitable(self, job_overrides: Sequence[Sequence[str]]) -> int:
        """The number of these jobs that should run at once."""
        compose = self.hydra_context.config_loader.load_sweep_config
        if not all(uses_one_core(compose(self.config, list(job))) for job in one_of_each_kind(job_overrides)):
            return 1
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return max(1, min(usable_cores(), memory // MEMORY_OF_A_JOB))


def uses_one_core(config: DictConfig) -> bool:
    """Whether a job trains a head on cached features without a GPU."""
    accelerator = OmegaConf.select(config, "trainer.accelerator", default="auto")
    return has_features(config) and (accelerator == "cpu" or (accelerator == "auto" and not has_gpu()))


def has_gpu() -> bool:
    """Whether the machine has a device that torch could use besides the CPU, found without importing torch."""
    devices = ("nvidia[0-9]*", "dxg", "kfd")  # NVIDIA's, NVIDIA's under Windows (WSL), AMD's
    is_apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return is_apple or any(found for device in devices for found in Path("/dev").glob(device))


class SubmititLauncher(ElsewhereLauncher):
    """Runs each job as a process on this machine (`cluster` local, `n_jobs` at once) or in a SLURM queue (slurm).

    `parameters` are submitit's: `timeout_min`, `mem_gb` and the like, or sbatch's options with underscores. submitit's
    files, including each job's output, are in a folder of `.submitit` in the sweep's directory.
    """

    def __init__(self, *, cluster: str, n_jobs: int, parameters: DictConfig) -> None:
        self.cluster, self.is_here = cluster, cluster == "local"
        self.n_jobs = n_jobs
        self.parameters: Any = OmegaConf.to_container(parameters, resolve=True)

    def start(self, jobs: Sequence[Job]) -> Iterable[Wait]:
        from submitit import AutoExecutor

        # A new folder each time: submitit unpickles a job's result from it, so no one else may have written there.
        folder = Path(self.config.hydra.sweep.dir, ".submitit", secrets.token_hex(8)).absolute()
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)  # nobody else may put a pickle there, even in a directory that a group shares
        except OSError as error:
            raise UserError(f"{folder.parent} cannot be used ({error.strerror}): remove it.") from error
        executor = AutoExecutor(folder, cluster=self.cluster)
        executor.update_parameters(**self.parameters)
        if self.cluster == "slurm":
            executor.update_parameters(slurm_array_parallelism=self.n_jobs)
            with executor.batch():
                queued = [executor.submit(job) for job in jobs]
            return [job.result for job in queued]
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // self.n_jobs)))
        pool = ThreadPoolExecutor(self.n_jobs)

        def run(job: Job) -> JobReturn:
            returned: JobReturn = executor.submit(job).result()
            return returned

        return [pool.submit(run, job).result for job in jobs]


class RayLauncher(ElsewhereLauncher):
    """Runs jobs as tasks of a Ray cluster on all its machines; without an address, starts a cluster for the sweep.

    Args:
        address: the cluster's address, or `auto` for the cluster this machine belongs to; None: start one here.
        num_cpus: cores reserved for a job, which is also its number of threads.
        num_gpus: GPUs reserved for a job.
        init: other arguments of `ray.init`.
    """

    def __init__(self, *, address: str | None, num_cpus: int, num_gpus: float, init: DictConfig) -> None:
        self.address, self.num_cpus, self.num_gpus = address, num_cpus, num_gpus
        self.init: Any = OmegaConf.to_container(init, resolve=True)

    def start(self, jobs: Sequence[Job]) -> Iterable[Wait]:
        import ray

        if not ray.is_initialized():
            ray.init(address=self.address, **self.init)
        run = ray.remote(num_cpus=self.num_cpus, num_gpus=self.num_gpus, max_retries=0)(_run)
        waiting = [run.remote(job) for job in jobs]
        get: Any = ray.get
        return [partial(get, task) for task in waiting]


def _run(job: Job) -> JobReturn:
    return job()
