"""Damage model files at random, thousands of times, and see what reading them ends in.

    .venv/bin/python benchmarks/fuzz.py [--mutations 2000] [--seed 1]

Small models of every format are written, some with a ``Lambda`` whose code would write a canary
file. Each is damaged (bytes, blocks, its end, values of its configuration) and read by a process
of its own, as a job's child process reads it. It must end in a refusal in words or in a model that
answers. A crash of a library (HDF5 is known for them), or one that is ended for the time it takes,
is counted apart: the job's parent process turns it into a refusal. Anything else is a failure, and
so are a canary and a hang.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from pathlib import Path
from typing import Any

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": ""}

MAX_SECONDS = 120
MAX_BYTES = 16 << 30  # of address space; TensorFlow reserves some gigabytes of it
LOADED, REFUSED, FAILED = 0, 3, 9
CRASHES = {
    *(signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL),
    signal.SIGXCPU,  # of the limit on time
}
# What a value of a configuration is replaced with.
NASTY: list[Any] = [
    None, -1, 0, 3, 2**31, 2**63, 1e308, True, "", "os", "../../etc/passwd", "float16", "Lambda",
    "linear", [], {}, [None, None], {"class_name": "Dense", "config": {}},
    {"class_name": "system", "module": "os", "config": "true"}, "x" * 10_000,
]  # fmt: skip


def write_models(folder: Path) -> list[Path]:
    """Small models of every format; those in ``evil`` write the canary where their code runs."""
    import keras
    import tf_keras

    from job.safety.archive import pack

    canary = folder / "canary"
    sing = eval(f"lambda x: (open({str(canary)!r}, 'w').write('sung'), x)[1]")  # noqa: S307 - the attack itself
    paths = []
    for kind, kit in (("keras2", tf_keras), ("keras3", keras)):
        kit.utils.set_random_seed(1)
        layers = kit.layers
        inner = kit.Sequential([layers.InputLayer((6,)), layers.Dense(8, name="in")], name="inner")
        given = kit.Input((5, 6), name="given")
        x = layers.TimeDistributed(inner)(given)
        x = layers.Conv1D(4, 3, padding="same", activation="relu")(x)
        x = layers.BatchNormalization()(x)
        x = layers.Bidirectional(layers.LSTM(3))(x)
        good = kit.Model(given, layers.Dense(2)(x))
        evil = kit.Model(given, layers.Lambda(sing, name="evil")(layers.Dense(2)(given)))
        for name, model in (("good", good), ("evil", evil)):
            paths.append(folder / f"{kind}_{name}.keras")
            model.save(paths[-1])
            if kind == "keras2":
                paths.append(folder / f"{kind}_{name}.h5")
                model.save(paths[-1], save_format="h5")
                model.save(folder / name, save_format="tf", save_traces=False)
                paths.append(folder / f"{kind}_{name}.tar")
                with paths[-1].open("wb") as file:
                    pack(folder / name, file, name)
    canary.unlink(missing_ok=True)
    return paths


def damaged_bytes(content: bytes, dice: random.Random) -> bytes:
    """Some bytes changed, a block moved or zeroed, or the end cut off."""
    data = bytearray(content)
    match dice.randrange(5):
        case 0:
            return bytes(data[: dice.randrange(len(data))])
        case 1:
            start, length = dice.randrange(len(data)), dice.choice([8, 64, 512])
            data[start : start + length] = bytes(length)
        case 2:
            start, length = dice.randrange(len(data)), dice.choice([8, 64, 512])
            data[start:start] = data[:length]
        case _:
            # Formats keep what describes them at their beginning and at their end.
            reach = dice.choice([len(data), min(4096, len(data))])
            for _ in range(dice.choice([1, 1, 2, 8, 64])):
                place = dice.randrange(reach)
                data[dice.choice([place, -1 - place])] = dice.randrange(256)
    return bytes(data)


def damage(source: Path, target: Path, dice: random.Random) -> None:
    """Write a damaged copy of a model file."""
    if source.suffix == ".tar" or dice.random() < 0.5:
        target.write_bytes(damaged_bytes(source.read_bytes(), dice))
    elif source.suffix == ".h5":
        import h5py

        target.write_bytes(source.read_bytes())
        with h5py.File(target, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            file.attrs["model_config"] = json.dumps(_damaged_config(config, dice))
    else:
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
            for name in old.namelist():
                content = old.read(name)
                if name == "config.json":
                    content = json.dumps(_damaged_config(json.loads(content), dice)).encode()
                elif name.endswith(".h5") and dice.random() < 0.3:
                    content = damaged_bytes(content, dice)
                new.writestr(name, content)


def _damaged_config(config: Any, dice: random.Random) -> Any:
    """One to three values, at any depth, replaced, removed or swapped with another."""
    for _ in range(dice.choice([1, 1, 2, 3])):
        places = list(_places(config))
        parent, key = dice.choice(places)
        if dice.random() < 0.2 and isinstance(parent, dict):
            parent.pop(key, None)
        elif dice.random() < 0.4:
            other, there = dice.choice(places)
            parent[key] = json.loads(json.dumps(other[there]))
        else:
            parent[key] = dice.choice(NASTY)
    return config


def _places(node: Any) -> Any:
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in pairs:
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


def in_a_process(path: Path, log: Path) -> tuple[str, float]:
    """Read a file in a process of its own; what it ended in, and the seconds that it took."""
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        faulthandler.enable()
        faulthandler.dump_traceback_later(MAX_SECONDS - 5)
        resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(MAX_SECONDS)
        os._exit(read(path))
    _, status = os.waitpid(pid, 0)
    seconds = time.monotonic() - started
    if os.WIFSIGNALED(status):
        number = signal.Signals(os.WTERMSIG(status))
        return ("crashed" if number in CRASHES else f"FAILED: {number.name}"), seconds
    names = {LOADED: "loaded", REFUSED: "refused"}
    return names.get(os.WEXITSTATUS(status), "FAILED: exception"), seconds


def read(path: Path) -> int:
    """Read a file as the child process of a job does, and call the model."""
    from job.errors import InputError
    from job.models.compare import outputs_of
    from job.models.load import load
    from job.models.random_inputs import on_random_inputs
    from job.safety.judge import judge
    from job.safety.limits import scanning

    try:
        with scanning(path.stat().st_size):
            judged = judge(path)
        model = load(judged).model
        on_random_inputs(model, lambda inputs: outputs_of(model, inputs))
    except InputError as error:
        if error.what and error.where and error.hint:
            return REFUSED
        print(f"not a whole refusal: {error!r}", file=sys.stderr, flush=True)
        return FAILED
    except BaseException:  # noqa: BLE001 - to be told
        traceback.print_exc()
        sys.stderr.flush()
        return FAILED
    return LOADED


def main() -> int:
    """Fuzz; the exit code is 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        status = os.fork()  # TensorFlow must not have computed in the process that is forked later
        if status == 0:
            write_models(folder)
            os._exit(0)
        os.waitpid(status, 0)
        paths = sorted(it for it in folder.iterdir() if it.is_file())
        import job.models.load

        assert job.models.load
        counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        slowest = 0.0
        for number in range(asked.mutations):
            dice = random.Random(f"{asked.seed}/{number}")  # noqa: S311 - it has to be repeatable
            source = paths[number % len(paths)]
            path = folder / f"mutated{source.suffix}"
            damage(source, path, dice)
            outcome, seconds = in_a_process(path, folder / "log")
            slowest = max(slowest, seconds)
            if (folder / "canary").exists():
                outcome = "FAILED: canary"
                (folder / "canary").unlink()
            counts[source.name][outcome] += 1
            if outcome.startswith("FAILED"):
                failures += 1
                words = (folder / "log").read_text().strip().splitlines()
                print(f"mutation {number} of {source.name}: {outcome}: {words[-1:]}")
    for name, found in sorted(counts.items()):
        print(f"{name:<22}" + "  ".join(f"{key} {found[key]}" for key in sorted(found)))
    total = sum(counts.values(), collections.Counter())
    print(f"{asked.mutations} mutations: {dict(sorted(total.items()))}, slowest {slowest:.1f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
