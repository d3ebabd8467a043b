"""Trains the small digit classifier whose 64 features judge generated digits; about 20 seconds.

    python data/make_digit_features.py

Writes data/runs/digit_features.npz (weights, as float16) and .json. The last layer is kept, so that
the classifier's accuracy can be checked; digits 400..499 of each class are held out.
"""

from pathlib import Path

import numpy as np
import torch

from wganlab import data, metrics

torch.manual_seed(0)
torch.set_num_threads(1)
x, labels = data.digits()
held_out = torch.arange(5000) % 500 >= 400
net = metrics.digit_classifier()
optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30)
x_train, labels_train = x[~held_out], labels[~held_out]
for _epoch in range(30):
    for rows in torch.randperm(len(x_train)).split(100):
        shift = torch.randint(-2, 3, (2,)).tolist()  # small shifts, so that a place is no feature
        batch = torch.roll(x_train[rows], shift, dims=(2, 3))
        loss = torch.nn.functional.cross_entropy(net(batch), labels_train[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    schedule.step()

arrays = {name: weight.detach().numpy().astype(np.float16) for name, weight in net.state_dict().items()}
net.load_state_dict({name: torch.from_numpy(weight).float() for name, weight in arrays.items()})
with torch.no_grad():
    accuracy = (net(x[held_out]).argmax(1) == labels[held_out]).float().mean().item()
print(f"accuracy on the 1,000 held-out digits: {accuracy:.3f}")
data.save_results(
    Path(__file__).parent / "runs",
    "digit_features",
    arrays,
    {
        "command": "python data/make_digit_features.py",
        "what": "weights of wganlab.metrics.digit_classifier, trained on 400 digits of each class",
        "held_out_accuracy": round(accuracy, 3),
    },
)
