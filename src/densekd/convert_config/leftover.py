"""What nobody read of an OpenMMLab configuration, without what means nothing for a recipe."""

from densekd.convert_config.job import Job
from densekd.convert_config.python_config import Config

# Logging, processes, folders, evaluation of a finished model: densekd has its own.
_MEANINGLESS = (
    "default_scope", "dist_params", "log_config", "log_level", "workflow", "cudnn_benchmark", "env_cfg", "visualizer",
    "vis_backends", "log_processor", "find_unused_parameters", "resume", "resume_from", "work_dir", "tta_model",
    "tta_pipeline", "test_dataloader", "test_cfg", "test_evaluator", "val_evaluator", "val_cfg", "randomness",
    "auto_scale_lr", "opencv_num_threads", "mp_start_method", "use_ddp_wrapper", "launcher", "gpu_ids", "seed",
    "device", "img_ratios", "_base_", "_scope_", "default_root",
)  # fmt: skip
_HOOKS = ("timer", "logger", "param_scheduler", "sampler_seed", "visualization", "runtime_info")


def report_unread(job: Job, config: Config) -> None:
    """List every setting that is not in the recipe and not meaningless for it."""
    settings = job.config
    settings.ignore(*_MEANINGLESS)
    # Names that other values are made of are read where they were used.
    settings.ignore(*config.variables)
    settings.ignore_entries("default_hooks", *_HOOKS)
    for name in ("timer", "logger"):
        settings.ignore_entries("default_hooks", name)
    settings.ignore_entries("train_cfg", "type", "by_epoch", "val_begin", "dynamic_intervals")
    settings.ignore_entries("runner", "type")
    settings.ignore_entries("evaluation", "metric", "by_epoch", "pre_eval", "classwise", "save_best")
    settings.ignore_entries("checkpoint_config", "by_epoch", "max_keep_ckpts", "meta")
    settings.ignore_entries("data", "test", "test_dataloader", "train_dataloader", "val_dataloader")
    checkpoint = settings.at("default_hooks", "checkpoint")
    checkpoint.ignore("by_epoch", "max_keep_ckpts", "published_keys", "rule", "save_best")
    for place in (("data", "val"), ("val_dataloader", "dataset")):
        dataset = settings.at(*place)
        dataset.ignore(
            "type", "data_root", "img_dir", "ann_dir", "split", "ann_file", "data_prefix", "test_mode", "img_prefix"
        )
    settings.ignore_entries("val_dataloader", "batch_size", "num_workers", "persistent_workers", "sampler", "drop_last")
    wrapper = settings.at("optim_wrapper")
    wrapper.expect("type", value="OptimWrapper")
    wrapper.ignore("_delete_")
    if not job.modern:
        settings.at("optimizer_config").expect("type", value="OptimizerHook")
    for line in settings.unread():
        job.report.leave(line)
