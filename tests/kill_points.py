"""Kill a run at 20 moments, ten of them inside a save, and resume each: one import, many forks.

Run by test_loop.py with a scratch folder; prints one JSON record per moment. The parent never
computes, so that its forks inherit no thread pools.
"""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

import sklearn.datasets  # noqa: F401  what data.digits and each optimiser import late,
import torch
import torch._dynamo  # here once instead of in each fork

from probgen import checkpoint, data, models, nets, objectives, training
from probgen.training import variational

STEPS = 30


def fit(folder, resume=False):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    train, test = data.digits()
    vae = models.VAE(
        nets.dense_encoder(train.shape, 4, (32,)), nets.dense_decoder(4, train.shape, (32,))
    )
    training.fit(
        vae,
        objectives.ELBO(),
        train,
        steps=STEPS,
        log_every=4,
        validation=test,
        checkpoint=folder,
        checkpoint_every=0,
        resume=resume,
    )
    content = checkpoint.pack(dict(vae.named_parameters()))
    (folder / "digest").write_text(hashlib.sha256(content).hexdigest())


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at_call(owner, name, count):
    """Die before the count-th call of a function."""
    original, left = getattr(owner, name), [count]

    def counting(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            die()
        return original(*args, **kwargs)

    setattr(owner, name, counting)


def forked(action):
    """Exit status of an action in a child."""
    child = os.fork()
    if child == 0:
        action()
        os._exit(0)
    return os.waitpid(child, 0)[1]


def moments():
    for step in (1, 2, 4, 5, 11, 12, 13, 20, 27, 30):
        yield f"before step {step}", variational._Run, "_update", step
    for call in (1, 2, 4, 7, 9, 14, 18, 23):
        yield f"inside a save, at fsync {call}", os, "fsync", call
    for call in (2, 5):
        yield f"inside a save, at rename {call}", Path, "rename", call


def main(scratch):
    scratch.mkdir(exist_ok=True)
    assert forked(lambda: fit(scratch / "whole")) == 0
    reference = (scratch / "whole" / "digest").read_text()
    results = []
    for number, (moment, owner, name, count) in enumerate(moments()):
        folder = scratch / str(number)

        def killed(folder=folder, owner=owner, name=name, count=count):
            kill_at_call(owner, name, count)
            fit(folder)

        status = forked(killed)
        resumed = forked(lambda folder=folder: fit(folder, resume=True))
        digest = (folder / "digest").read_text() if resumed == 0 else "failed"
        results.append(
            {"moment": moment, "killed": status == signal.SIGKILL, "same": digest == reference}
        )
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
