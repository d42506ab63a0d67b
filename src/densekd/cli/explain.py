"""Errors that the machine raises and people can mend, in plain words: disk, memory, ports, processes."""

import errno

# What the system says, as people say it.
_OF_FILES = {
    errno.ENOENT: "there is no such file or folder",
    errno.EACCES: "you have no permission for this",
    errno.EPERM: "you have no permission for this",
    errno.EROFS: "the disk is read-only",
    errno.EEXIST: "there is something else of this name",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EISDIR: "this is a folder, and a file is expected",
    errno.ENAMETOOLONG: "the name is too long for the disk; choose a shorter one",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your share of the disk is full",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n) or use fewer data.workers",
}
_NO_MEMORY = ("can't allocate memory", "out of memory", "Cannot allocate memory", "std::bad_alloc")
_PORT_IN_USE = ("EADDRINUSE", "ddress already in use")
_WORKER_KILLED = ("exited unexpectedly", "is killed by signal", "terminated abruptly")
_SHARED_MEMORY = ("insufficient shared memory", "unable to open shared memory", "/dev/shm", "/torch_")
_LONGEST = 120


def explain(error: BaseException) -> str | None:
    """Say in plain words what the machine lacks; None for any other error.

    Args:
        error: what was raised.
    """
    said = str(error)
    first_line = said.partition("\n")[0]
    if _says(said, _PORT_IN_USE):
        return (
            "The port that the processes of this training meet at is in use, by another training perhaps. Set a "
            f"free one, for instance MASTER_PORT=29511 densekd train ... ({first_line})"
        )
    if isinstance(error, MemoryError) or _says(said, _NO_MEMORY):
        return (
            "Out of memory. Take a smaller data.batch_size or a larger training.accumulate, a smaller augment.crop, "
            f"evaluation by windows (evaluation.crop), or a smaller data.cache. ({first_line or 'MemoryError'})"
        )
    if _says(said, _SHARED_MEMORY):
        return (
            f"Loading processes ran out of shared memory; use fewer (data.workers) or enlarge /dev/shm. ({first_line})"
        )
    if _says(said, _WORKER_KILLED):
        return (
            "A process that reads data was ended from outside, mostly because memory was short: use fewer "
            f"(data.workers, or --workers), or a smaller data.cache. ({first_line})"
        )
    if isinstance(error, OSError) and error.filename is not None:
        return _explain_file(error)
    return None


def _explain_file(error: OSError) -> str:
    # Where a file is moved, the second name is the one that people know.
    name = str(error.filename2 or error.filename)
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}..."
    reason = _OF_FILES.get(error.errno or 0, error.strerror or "cannot be used")
    return f"{name}: {reason}."


def _says(said: str, parts: tuple[str, ...]) -> bool:
    return any(part in said for part in parts)
