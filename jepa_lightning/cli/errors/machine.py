"""What a machine cannot do or does not have: files, rights, memory, descriptors; each in one line."""

import errno
import locale
import os
import re

from jepa_lightning.cli.errors.text import one_line, shortened

DESCRIPTORS = (
    "too many files are open at once: raise the limit in this shell with `ulimit -n 8192`, or lower --data.num_workers."
)
SHARED_MEMORY = (
    "the workers that load data are out of shared memory: enlarge /dev/shm (docker run --shm-size=8g), or lower "
    "--data.num_workers or --data.batch_size."
)
LOWER = "Lower --data.batch_size, --model.image_size or the size of the encoder."
# what torch says, and what to do about it
SAID = (
    (re.compile(r"Too many open files|received \d+ items of ancdata|Errno 24\b"), DESCRIPTORS),
    (
        re.compile(
            r"unable to (allocate|open|mmap|resize).*shared memory|/torch_\S+>.*No space left|out of shared memory|"
            r"torch_shm_manager|ftruncate.*No space left",
            re.IGNORECASE,
        ),
        SHARED_MEMORY,
    ),
)
KILLED = re.compile(r"DataLoader worker \(pid\(?s?\)? ?[^)]*\) is killed by signal: Killed")
# faults of a file, a disk or a machine, not of a program
OF_THE_MACHINE = {
    getattr(errno, name)
    for name in (
        "EACCES", "EAGAIN", "EDQUOT", "EEXIST", "EFBIG", "EIO", "EISDIR", "ELOOP", "EMFILE", "ENAMETOOLONG", "ENFILE",
        "ENODEV", "ENOENT", "ENOMEM", "ENOSPC", "ENOTDIR", "ENOTEMPTY", "ENXIO", "EPERM", "EROFS", "ESTALE", "ETXTBSY",
    )
    if hasattr(errno, name)
}  # fmt: skip
UNITS = {"bytes": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50, "EiB": 2**60}


def explain_machine(error: BaseException) -> str | None:
    """One line about an error of the machine; None for other errors.

    Args:
        error: that ended the run.
    """
    text = str(error)
    if isinstance(error, (MemoryError, RuntimeError)) and (asked := _memory_asked_for(error)) is not None:
        much = f"{asked / 2**30:,.1f} GiB were asked for at once" if asked else "the machine has no more"
        return f"not enough memory: {much}. {LOWER}"
    if isinstance(error, (OSError, RuntimeError)):
        for pattern, line in SAID:
            if pattern.search(text):
                return line
        if KILLED.search(text):
            return f"a worker that loads data was killed, most likely because memory ran out. {LOWER}"
    if isinstance(error, ValueError) and text == "embedded null byte":
        return "the name of a file has a null character in it."
    if isinstance(error, UnicodeError):
        return _not_in_this_locale(error)
    return _of_a_file(error) if isinstance(error, OSError) and error.errno in OF_THE_MACHINE else None


def _memory_asked_for(error: BaseException) -> int | None:
    """Bytes of an allocation that failed, 0 where they are not known; None for another error."""
    text = str(error)
    if found := re.search(r"tried to allocate ([\d.]+) ?(\w+)|Unable to allocate ([\d.]+) (\w+)", text, re.IGNORECASE):
        number, unit = (found[1], found[2]) if found[1] else (found[3], found[4])
        return int(float(number.rstrip(".")) * UNITS.get(unit, 1))
    if re.search("Storage size calculation overflowed|invalid sizes|numel: integer multiplication overflow", text):
        return 2**63
    memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return 0 if memory or "can't allocate memory" in text or "not enough memory" in text else None


def _of_a_file(error: OSError) -> str:
    """What the system says, of which file, and what may be done."""
    said = one_line(error.strerror or str(error))
    names = [shortened(str(name)) for name in (error.filename, error.filename2) if name is not None]
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{' at ' + names[0] if names else ''} ({said}): free some space."
    if error.errno == errno.ENOMEM:
        return f"not enough memory ({said}). Lower --data.num_workers or --data.batch_size."
    if names and (error.errno == errno.ENOTDIR or (error.errno == errno.EEXIST and os.path.isfile(error.filename))):
        return f"{names[0]} cannot be made or read, since a file is where a folder is wanted ({said})."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and names:
        return f"{names[0]} cannot be read or written ({said}): see who may, or choose a folder that is yours."
    return f"{' and '.join(names)}: {said}." if names else f"{said}."


def _not_in_this_locale(error: UnicodeError) -> str | None:
    """Whether text beyond ASCII meets a locale that does not have it."""
    encoding = locale.getpreferredencoding(False)
    if encoding.lower().replace("-", "") == "utf8":
        return None
    return (
        f"a name or a file has characters that the locale of this shell, {encoding}, lacks ({one_line(str(error))}): "
        "set PYTHONUTF8=1."
    )
